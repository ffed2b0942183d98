package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// pack packs a whole tree and returns the tar and the log.
func pack(t testing.TB, dir string, opts archive.PackOptions) (data []byte, log string) {
	t.Helper()
	var buf, text bytes.Buffer
	opts.Logger = slog.New(slog.NewTextHandler(&text, nil))
	if err := archive.Pack(context.Background(), &buf, dir, opts); err != nil {
		t.Fatalf("pack %s: %v", dir, err)
	}
	return buf.Bytes(), text.String()
}

// everything holds all that a layer can hold.
func everything(t testing.TB) string {
	t.Helper()
	return build(t,
		mkdir("/dir", 0o1777), mkdir("/dir/empty", 0o700), mkdir("/dir-", 0o755), file("/dir-/f", "in dir-"),
		file("/dir.conf", "sorts before dir/file as a string"), file("/dir/file", strings.Repeat("content ", 300)), file("/zero", ""),
		symlink("../..//weird target", "/link"), symlink(long(200), "/longlink"), file("/"+long(200), "long name"),
		special("/fifo", unix.S_IFIFO|0o600, 0, 0), special("/null", unix.S_IFCHR|0o666, 1, 3), special("/disk", unix.S_IFBLK|0o660, 259, 70000),
		file("/a1", "linked"), link("/a1", "/dir/a2"), link("/a1", "/z3"), link("/link", "/link2"),
		file("/\xffbytes\xfe", "not UTF-8"), file("/ünï", "UTF-8"), symlink("\xff", "/badlink"),
		file("/suid", "x"), chown("/suid", 12, 34), chmod("/suid", 0o6755), file("/nobody", "x"), chown("/nobody", 4_000_000_000, 3_000_000),
		file("/cap", "x"), setXattr("/cap", "security.capability", capNetRaw),
		setXattr("/cap", "user.bin", "\x00\xff\n=x"), setXattr("/cap", "user.empty", ""), setXattr("/dir", "user.dir", "d"),
		setXattr("/zero", "user.overlay.opaque", "y"), setXattr("/zero", "trusted.overlay.origin", "o"), setXattr("/zero", "trusted.other", "o"),
		touch("/zero", 1_600_000_000, 0), touch("/fifo", -1_000_000, 5), touch("/null", 10_000_000_000, 0), touch("/link", 1, 999_999_999),
	)
}

func TestPackHeaders(t *testing.T) {
	testutil.RequireRoot(t)
	data, log := pack(t, everything(t), archive.PackOptions{})
	same(t, "log", log, "")
	const usual = "1700000000"
	want := []string{
		`"a1" 0 0644 0:0 ` + usual + ` "" 0,0 map[] "linked"`,
		`"badlink" 2 0777 0:0 ` + usual + ` "\xff" 0,0 map[linkpath:` + "\xff" + `] ""`,
		`"cap" 0 0644 0:0 ` + usual + ` "" 0,0 map[SCHILY.xattr.security.capability:` + capNetRaw + " SCHILY.xattr.user.bin:\x00\xff\n=x SCHILY.xattr.user.empty:" + `] "x"`,
		`"dir/" 5 1777 0:0 ` + usual + ` "" 0,0 map[SCHILY.xattr.user.dir:d] ""`,
		`"dir/a2" 1 0644 0:0 ` + usual + ` "a1" 0,0 map[] ""`,
		`"dir/empty/" 5 0700 0:0 ` + usual + ` "" 0,0 map[] ""`,
		`"dir/file" 0 0644 0:0 ` + usual + ` "" 0,0 map[] "` + strings.Repeat("content ", 300) + `"`,
		`"dir-/" 5 0755 0:0 ` + usual + ` "" 0,0 map[] ""`,
		`"dir-/f" 0 0644 0:0 ` + usual + ` "" 0,0 map[] "in dir-"`,
		`"dir.conf" 0 0644 0:0 ` + usual + ` "" 0,0 map[] "sorts before dir/file as a string"`,
		`"disk" 4 0640 0:0 ` + usual + ` "" 259,70000 map[] ""`,
		`"fifo" 6 0600 0:0 -1000000 "" 0,0 map[mtime:-1000000] ""`,
		`"link" 2 0777 0:0 1 "../..//weird target" 0,0 map[] ""`,
		`"link2" 1 0777 0:0 1 "link" 0,0 map[] ""`,
		`"longlink" 2 0777 0:0 ` + usual + ` "` + long(200) + `" 0,0 map[linkpath:` + long(200) + `] ""`,
		`"` + long(200) + `" 0 0644 0:0 ` + usual + ` "" 0,0 map[path:` + long(200) + `] "long name"`,
		`"nobody" 0 0644 4000000000:3000000 ` + usual + ` "" 0,0 map[gid:3000000 uid:4000000000] "x"`,
		`"null" 3 0644 0:0 10000000000 "" 1,3 map[mtime:10000000000] ""`,
		`"suid" 0 6755 12:34 ` + usual + ` "" 0,0 map[] "x"`,
		`"z3" 1 0644 0:0 ` + usual + ` "a1" 0,0 map[] ""`,
		`"zero" 0 0644 0:0 1600000000 "" 0,0 map[] ""`,
		`"ünï" 0 0644 0:0 ` + usual + ` "" 0,0 map[path:ünï] "UTF-8"`,
		`"\xffbytes\xfe" 0 0644 0:0 ` + usual + ` "" 0,0 map[path:` + "\xffbytes\xfe" + `] "not UTF-8"`,
	}
	same(t, "entries", headers(t, data), want)
}

// What packs a whole tree, and what packs all of its paths as changes, agree.
func TestPackIsPackChangesOfEverything(t *testing.T) {
	testutil.RequireRoot(t)
	dir := everything(t)
	first, _ := pack(t, dir, archive.PackOptions{})
	again, _ := pack(t, dir, archive.PackOptions{})
	if !bytes.Equal(first, again) {
		t.Error("packed twice, the bytes differ")
	}
	if got := naive(t, dir, "", archive.WhiteoutNone); !bytes.Equal(got.tar, first) {
		same(t, "entries", headers(t, got.tar), headers(t, first))
		t.Error("the bytes differ")
	}
	if !bytes.HasSuffix(first, make([]byte, 1024)) {
		t.Error("no two zero blocks at the end")
	}
}

func TestPackIsReadByGNUTar(t *testing.T) {
	testutil.RequireRoot(t)
	prog := testutil.RequireProgram(t, "tar")
	dir := everything(t)
	data, _ := pack(t, dir, archive.PackOptions{})
	to := tempDir(t)
	cmd := exec.Command(prog, "--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "--preserve-permissions", "--delay-directory-restore", "--directory", to)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	for _, name := range []string{"user.overlay.opaque", "trusted.overlay.origin", "trusted.other"} {
		check(t, unix.Removexattr(filepath.Join(dir, "zero"), name))
	}
	seconds := []testutil.TreeOption{testutil.IgnoreRoot, testutil.CoarseMtime}
	same(t, "unpacked tree", testutil.Tree(t, to, seconds...), testutil.Tree(t, dir, seconds...))
	same(t, "comparison with the unpacked tree", compare(t, to, dir, archive.CompareOptions{}), []string{})
}

func TestPackLeavesOut(t *testing.T) {
	testutil.RequireRoot(t)
	dir := build(t, special("/sock", unix.S_IFSOCK|0o755, 0, 0), special("/null", unix.S_IFCHR|0o666, 0, 0), file("/.wh.f", ""), mkdir("/.wh..wh.plnk", 0o700), file("/.wh..wh.plnk/f", ""),
		file("/f", ""), setXattr("/f", "user.a=b", "1"), setXattr("/f", "user.a", "2"))
	data, log := pack(t, dir, archive.PackOptions{})
	same(t, "names", names(t, data), []string{"f"})
	for _, want := range []string{"path=/sock", "path=/null", "path=/.wh.f", "path=/.wh..wh.plnk", `path=/f attribute="user.a=b"`} {
		if !strings.Contains(log, want) {
			t.Errorf("log does not have %s:\n%s", want, log)
		}
	}
	if !strings.Contains(headers(t, data)[0], "SCHILY.xattr.user.a:2") {
		t.Error("attribute that could be packed is missing")
	}
}

func TestPackTranslatesOwners(t *testing.T) {
	testutil.RequireRoot(t)
	r := []idmap.Range{{ContainerID: 0, HostID: 100_000, Size: 10}}
	opts := archive.PackOptions{Mapping: idmap.Mapping{UIDs: r, GIDs: r}}
	dir := build(t, file("/f", ""), chown("/f", 100_001, 100_002), touch("/f", 1, 0))
	data, _ := pack(t, dir, opts)
	same(t, "entries", headers(t, data), []string{`"f" 0 0644 1:2 1 "" 0,0 map[] ""`})
	check(t, os.Chown(in(dir, "/f"), 5, 100_000))
	err := archive.Pack(context.Background(), io.Discard, dir, opts)
	if !errors.Is(err, idmap.ErrUnmapped) || !strings.Contains(err.Error(), "/f") {
		t.Errorf("unmapped owner: %v", err)
	}
}

func TestPackChangesForms(t *testing.T) {
	testutil.RequireRoot(t)
	dir := build(t, mkdir("/d", 0o755), file("/d/f", "f"), file("/d.x", ""), symlink("d", "/l"), special("/sock", unix.S_IFSOCK, 0, 0))
	add := func(paths ...string) (out []archive.Change) {
		for _, p := range paths {
			out = append(out, archive.Change{Path: p, Kind: archive.Added})
		}
		return out
	}
	tests := []struct {
		name    string
		changes []archive.Change
		want    []string
		err     error
	}{
		{"none", nil, nil, nil},
		{"in the order of a walk, whatever theirs", add("/l", "/d.x", "/d/f", "/d"), []string{"d/", "d/f", "d.x", "l"}, nil},
		{"deletions", []archive.Change{{Path: "/x/y", Kind: archive.Deleted}, {Path: "/a", Kind: archive.Deleted}}, []string{".wh.a", "x/.wh.y"}, nil},
		{"a name that can not be deleted", []archive.Change{{Path: "/.wh.x", Kind: archive.Deleted}}, nil, nil},
		{"modified into what a tar can not hold", []archive.Change{{Path: "/sock", Kind: archive.Modified}}, []string{".wh.sock"}, nil},
		{"vanished", []archive.Change{{Path: "/gone", Kind: archive.Modified}, {Path: "/never", Kind: archive.Added}}, []string{".wh.gone"}, nil},
		{"through a symbolic link", add("/l/f"), nil, nil},
		{"relative", add("d"), nil, errdefs.ErrInvalid},
		{"the root", add("/"), nil, errdefs.ErrInvalid},
		{"climbing out", add("/d/../../etc/passwd"), nil, errdefs.ErrInvalid},
		{"twice", add("/d", "/d"), nil, errdefs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			err := archive.PackChanges(context.Background(), &buf, dir, tt.changes, archive.PackOptions{})
			if !errors.Is(err, tt.err) {
				t.Fatalf("error is %v, want %v", err, tt.err)
			}
			if err == nil {
				same(t, "names", names(t, buf.Bytes()), tt.want)
			}
		})
	}
}

func TestPackWhiteoutHeader(t *testing.T) {
	dir := build(t, mkdir("/d", 0o755), touch("/d", 5, 999_999_999), touch("/", 7, 0))
	data := packed(t, dir, []archive.Change{{Path: "/d/x", Kind: archive.Deleted}, {Path: "/x", Kind: archive.Deleted}, {Path: "/no/x", Kind: archive.Deleted}}, archive.PackOptions{})
	same(t, "entries", headers(t, data), []string{
		`"d/.wh.x" 0 0000 0:0 5 "" 0,0 map[] ""`, `"no/.wh.x" 0 0000 0:0 0 "" 0,0 map[] ""`, `".wh.x" 0 0000 0:0 0 "" 0,0 map[] ""`,
	})
}

// onWrite calls do once, when the first bytes of content pass.
type onWrite struct {
	bytes.Buffer
	marker string
	do     func()
}

func (w *onWrite) Write(p []byte) (int, error) {
	if w.do != nil && bytes.Contains(p, []byte(w.marker)) {
		w.do()
		w.do = nil
	}
	return w.Buffer.Write(p)
}

func TestPackFileThatChangesSize(t *testing.T) {
	const size = 3 << 20
	for name, newSize := range map[string]int64{"shorter": 1 << 20, "longer": size + 1} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			path := filepath.Join(dir, "big")
			check(t, os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o644))
			check(t, os.WriteFile(filepath.Join(dir, "next"), []byte("next"), 0o644))
			out := &onWrite{marker: "xxxx", do: func() { check(t, os.Truncate(path, newSize)) }}
			err := archive.Pack(context.Background(), out, dir, archive.PackOptions{})
			if !errors.Is(err, archive.ErrFileChanged) || !strings.Contains(err.Error(), "/big") {
				t.Errorf("error is %v, want ErrFileChanged for /big", err)
			}
			same(t, "names", names(t, out.Bytes()), []string{"big", "next"})
			r := tar.NewReader(bytes.NewReader(out.Bytes()))
			hdr, err := r.Next()
			check(t, err)
			got, err := io.ReadAll(r)
			check(t, err)
			want := bytes.Repeat([]byte("x"), int(min(newSize, size)))
			if hdr.Size != size || !bytes.HasPrefix(got, want) || len(bytes.TrimRight(got[len(want):], "\x00")) > 0 {
				t.Errorf("content of %d bytes is not the file cut or padded with zeros", len(got))
			}
		})
	}
}

func TestPackStops(t *testing.T) {
	dir := tempDir(t)
	check(t, os.WriteFile(filepath.Join(dir, "f"), make([]byte, 4<<20), 0o644))
	ctx, cancel := context.WithCancel(context.Background())
	out := &onWrite{marker: "\x00\x00", do: cancel}
	if err := archive.Pack(ctx, out, dir, archive.PackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := archive.Pack(context.Background(), fullWriter{}, dir, archive.PackOptions{}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("no space: %v", err)
	}
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, unix.ENOSPC }

func TestSizes(t *testing.T) {
	testutil.RequireRoot(t)
	dir := build(t, mkdir("/d", 0o755), file("/a", "12345"), link("/a", "/d/b"), file("/d/c", "678"), symlink("123456789", "/l"), file("/e", ""))
	ctx := context.Background()
	got, err := archive.TreeSize(ctx, dir)
	check(t, err)
	same(t, "tree", got, int64(8))
	got, err = archive.ChangesSize(ctx, dir, []archive.Change{
		{Path: "/a", Kind: archive.Modified}, {Path: "/d/b", Kind: archive.Added}, {Path: "/d", Kind: archive.Modified},
		{Path: "/d/c", Kind: archive.Deleted}, {Path: "/gone", Kind: archive.Added},
	})
	check(t, err)
	same(t, "changes", got, int64(5))
}
