package archive

import (
	"archive/tar"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func TestExtractRootEntry(t *testing.T) {
	testutil.RequireRoot(t)
	entry := testutil.Entry{Name: "./", Mode: 0o1711, UID: 3, GID: 4, Mtime: nano, Xattrs: map[string]string{"user.r": "1"}}
	dir := t.TempDir()
	before := line(t, dir, ".")
	mustExtract(t, dir, ExtractOptions{}, entry, testutil.Entry{Name: "x"})
	if got := line(t, dir, "."); got != before {
		t.Errorf("root changed:\n%s\n%s", before, got)
	}
	mustExtract(t, dir, ExtractOptions{ApplyRoot: true}, entry, testutil.Entry{Name: "y"})
	if got := line(t, dir, "."); !strings.Contains(got, "1711 3:4") || !strings.Contains(got, "987654321") || !strings.Contains(got, "user.r") {
		t.Errorf("root not applied: %s", got)
	}
}

func TestExtractOptionsForOwners(t *testing.T) {
	testutil.RequireRoot(t)
	shift := idmap.Mapping{
		UIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 10}},
		GIDs: []idmap.Range{{ContainerID: 0, HostID: 200000, Size: 10}},
	}
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{Mapping: shift, Whiteouts: WhiteoutTrusted},
		testutil.Entry{Name: "a/b", UID: 1, GID: 2}, testutil.Entry{Name: ".wh.c", UID: 3, GID: 4})
	for name, want := range map[string]string{"a": " 100000:200000 ", "a/b": " 100001:200002 ", "c": " 100003:200004 "} {
		if got := line(t, dir, name); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want owner %s", name, got, want)
		}
	}
	err := extractInto(t, dir, ExtractOptions{Mapping: shift}, testutil.Entry{Name: "x/y", UID: 10})
	if !errors.Is(err, idmap.ErrUnmapped) || !strings.Contains(err.Error(), "unpack x/y") {
		t.Errorf("error = %v, want ErrUnmapped with the name", err)
	}
}

func TestExtractForceMode(t *testing.T) {
	testutil.RequireRoot(t)
	mode := fs.FileMode(0o700)
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{ForceMode: &mode, Whiteouts: WhiteoutLiteral},
		testutil.Entry{Name: "./", Mode: 0o555, UID: 1},
		testutil.Entry{Name: "d/f", Body: "x", Mode: 0o4755, UID: 5, GID: 6, Xattrs: map[string]string{overrideStat: "smuggled"}},
		testutil.Entry{Name: "d/null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666},
		testutil.Entry{Name: "d/pipe", Type: tar.TypeFifo, Mode: 0o600},
		testutil.Entry{Name: "d/link", Link: "f", UID: 9},
		testutil.Entry{Name: "d/hard", Type: tar.TypeLink, Link: "d/f", UID: 5, GID: 6},
		testutil.Entry{Name: "d/.wh.gone"})
	want := map[string]string{".": "1:0:0555:dir", "d": "0:0:0755:dir", "d/f": "5:6:4755:file", "d/null": "0:0:0666:char-1-3", "d/pipe": "0:0:0600:pipe", "d/.wh.gone": "0:0:0644:file"}
	for name, stat := range want {
		var buf [64]byte
		n, err := unix.Getxattr(filepath.Join(dir, name), overrideStat, buf[:])
		if err != nil || string(buf[:n]) != stat {
			t.Errorf("%s: %q, %v; want %q", name, buf[:max(n, 0)], err, stat)
		}
		if got := line(t, dir, name); name != "." && !strings.Contains(got, "0700 0:0") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := line(t, dir, "d/link"); !strings.Contains(got, " 0:0 ") {
		t.Errorf("link: %s", got)
	}
}

func TestExtractNoDevices(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{NoDevices: true, Whiteouts: WhiteoutTrusted},
		testutil.Entry{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3},
		testutil.Entry{Name: "null2", Type: tar.TypeLink, Link: "null"},
		testutil.Entry{Name: "pipe", Type: tar.TypeFifo}, testutil.Entry{Name: ".wh.gone"})
	if got := short(t, dir); got != "gone% pipe" {
		t.Errorf("got %s", got)
	}
}

func TestExtractLiteralWhiteouts(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{Whiteouts: WhiteoutLiteral},
		testutil.Entry{Name: "a/.wh.b"}, testutil.Entry{Name: "a/.wh..wh..opq"}, testutil.Entry{Name: ".wh..wh.plnk/1"})
	if got := short(t, dir); got != ".wh..wh.plnk/ .wh..wh.plnk/1 a/ a/.wh..wh..opq a/.wh.b" {
		t.Errorf("got %s", got)
	}
}

// A second name whose header says otherwise changes the file, but never loses
// its capabilities by the way.
func TestExtractHardLinkHeaders(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{},
		testutil.Entry{Name: "ping", Body: "p", Mode: 0o755, Mtime: whole, Xattrs: map[string]string{"security.capability": capNet}},
		testutil.Entry{Name: "same", Type: tar.TypeLink, Link: "ping", Mode: 0o755, Mtime: whole},
		testutil.Entry{Name: "other", Type: tar.TypeLink, Link: "same", Mode: 0o4711, UID: 8, Mtime: nano})
	got := line(t, dir, "ping")
	if !strings.Contains(got, "4711 8:0 3 ") || !strings.Contains(got, "987654321") || !strings.Contains(got, "security.capability") {
		t.Errorf("got %s", got)
	}
}

func TestExtractDropsXattrs(t *testing.T) {
	testutil.RequireRoot(t)
	xattrs := map[string]string{"user.kept": "1"}
	dropped := []string{"trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.overlay.opaque", "trusted.overlay.whiteout", "user.overlay.opaque", "user.overlay.metacopy", "security.selinux", "user.fuseoverlayfs.opaque"}
	for _, name := range dropped {
		xattrs[name] = "y"
	}
	for _, format := range []WhiteoutFormat{WhiteoutNone, WhiteoutTrusted, WhiteoutUser, WhiteoutLiteral} {
		dir := t.TempDir()
		mustExtract(t, dir, ExtractOptions{Whiteouts: format},
			testutil.Entry{Name: "d/", Xattrs: xattrs}, testutil.Entry{Name: "d/f", Xattrs: xattrs})
		for _, name := range []string{"d", "d/f"} {
			var buf [4096]byte
			n, err := unix.Listxattr(filepath.Join(dir, name), buf[:])
			if err != nil || strings.ReplaceAll(string(buf[:n]), "security.selinux\x00", "") != "user.kept\x00" {
				t.Errorf("%v %s: %q, %v", format, name, buf[:max(n, 0)], err)
			}
		}
	}
}

func TestExtractUserWhiteouts(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	mustExtract(t, dir, ExtractOptions{Whiteouts: WhiteoutUser}, testutil.Entry{Name: "d/.wh..wh..opq"}, testutil.Entry{Name: "d/.wh.x"})
	if got := line(t, dir, "d"); !strings.Contains(got, opaqueUser) {
		t.Errorf("got %s", got)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "d/x"), &st); err != nil || st.Mode != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout: %v, mode %o", err, st.Mode)
	}
}

// Capabilities of a tree with mapped owners name the container's root.
func TestExtractTranslatesCapabilities(t *testing.T) {
	testutil.RequireRoot(t)
	shift := idmap.Mapping{UIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 10}}, GIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 10}}}
	third := "\x01\x00\x00\x03" + capNet[4:]
	tests := []struct {
		name    string
		mapping idmap.Mapping
		in, out string
	}{
		{"no mapping", idmap.Mapping{}, capNet, capNet},
		{"plain", shift, capNet, third + "\xa0\x86\x01\x00"},
		{"of a user inside", shift, third + "\x02\x00\x00\x00", third + "\xa2\x86\x01\x00"},
		{"of nobody inside", shift, third + "\x0b\x00\x00\x00", third + "\x0b\x00\x00\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			mustExtract(t, dir, ExtractOptions{Mapping: tt.mapping}, testutil.Entry{Name: "f", Xattrs: map[string]string{"security.capability": tt.in}})
			var buf [64]byte
			n, err := unix.Getxattr(filepath.Join(dir, "f"), "security.capability", buf[:])
			if err != nil || string(buf[:n]) != tt.out {
				t.Errorf("got %q, %v; want %q", buf[:max(n, 0)], err, tt.out)
			}
		})
	}
}

// A second layer's worth of entries in the same upper directory: a directory
// where a whiteout stood still hides what is below that.
func TestExtractTwiceIntoUpper(t *testing.T) {
	testutil.RequireRoot(t)
	dir, opts := t.TempDir(), ExtractOptions{Whiteouts: WhiteoutTrusted}
	mustExtract(t, dir, opts, testutil.Entry{Name: ".wh.a"}, testutil.Entry{Name: ".wh.b"}, testutil.Entry{Name: "c/x"}, testutil.Entry{Name: "d/y"})
	mustExtract(t, dir, opts, testutil.Entry{Name: "a/"}, testutil.Entry{Name: "b/new"}, testutil.Entry{Name: ".wh.c"}, testutil.Entry{Name: "d/.wh..wh..opq"})
	if got, want := short(t, dir), "a/! b/! b/new c% d/!"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
