package mountapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

func TestOverlayData(t *testing.T) {
	tests := []struct {
		name string
		o    mountapi.Overlay
		want string
	}{
		{
			"read-write", mountapi.Overlay{Lowers: []string{"/h/l/A", "/h/l/B"}, Upper: "/h/x/diff", Work: "/h/x/work"},
			"lowerdir=/h/l/A:/h/l/B,upperdir=/h/x/diff,workdir=/h/x/work",
		},
		{
			"read-only", mountapi.Overlay{Lowers: []string{"/h/x/diff", "/h/l/A"}, Options: mountapi.Options{Flags: mountapi.ReadOnly}},
			"lowerdir=/h/x/diff:/h/l/A",
		},
		{
			"options and label", mountapi.Overlay{
				Lowers: []string{"/a", "/b"}, Options: mountapi.Options{Data: []string{"metacopy=on", "volatile"}},
				Context: "system_u:object_r:container_file_t:s0:c1,c2",
			},
			`lowerdir=/a:/b,metacopy=on,volatile,context="system_u:object_r:container_file_t:s0:c1,c2"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.o.Data(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if err := tt.o.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOverlayValidate(t *testing.T) {
	many := make([]string, mountapi.MaxLowers+1)
	for i := range many {
		many[i] = "/x"
	}
	tests := []struct {
		name string
		o    mountapi.Overlay
		want error
	}{
		{"no lower", mountapi.Overlay{Upper: "/u", Work: "/w"}, errdefs.ErrInvalid},
		{"one lower and no upper", mountapi.Overlay{Lowers: []string{"/a"}}, errdefs.ErrInvalid},
		{"no work", mountapi.Overlay{Lowers: []string{"/a"}, Upper: "/u"}, errdefs.ErrInvalid},
		{"relative", mountapi.Overlay{Lowers: []string{"a", "/b"}}, errdefs.ErrInvalid},
		{"label with a quote", mountapi.Overlay{Lowers: []string{"/a", "/b"}, Context: `a"b`}, errdefs.ErrInvalid},
		{"too many", mountapi.Overlay{Lowers: many}, errdefs.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.o.Validate(); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// apis are all ways to mount.
var apis = map[string]mountapi.API{"auto": mountapi.Auto, "descriptors": mountapi.Descriptors, "classic": mountapi.Classic}

// layers makes n directories below dir, each with a file of its own, and an upper, a work
// and a mount directory.
func layers(t *testing.T, dir string, n int) (o mountapi.Overlay, target string) {
	t.Helper()
	mkdir := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for i := range n {
		path := mkdir(fmt.Sprintf("lower%d", i))
		if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("f%d", i)), []byte{byte(i)}, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "top"), fmt.Append(nil, i), 0o644); err != nil {
			t.Fatal(err)
		}
		o.Lowers = append(o.Lowers, path)
	}
	o.Upper, o.Work = mkdir("upper"), mkdir("work")
	target = mkdir("target")
	t.Cleanup(func() {
		if err := mountapi.Detach(target); err != nil {
			t.Error(err)
		}
	})
	return o, target
}

func wantFiles(t *testing.T, dir string, n int) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) != n+1 {
		t.Errorf("%d names in the overlay, want %d", len(names), n+1)
	}
	top, err := os.ReadFile(filepath.Join(dir, "top"))
	if err != nil || string(top) != "0" {
		t.Errorf("topmost layer is %q, %v", top, err)
	}
}

func TestOverlayMount(t *testing.T) {
	testutil.RequireRoot(t)
	deep := strings.Repeat("/"+strings.Repeat("d", 100), 8)
	tests := []struct {
		name, dir string
		lowers    int
	}{
		{"plain", "", 3},
		{"colon", "a:b", 2},
		{"comma", "a,b", 2},
		{"backslash", `a\b\:c`, 2},
		{"quote and space", `a "b`, 2},
		{"long path", deep, 40},
		{"500 lowers", "", 500},
		{"500 lowers at a long path", deep, 500},
	}
	for _, tt := range tests {
		for name, api := range apis {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				o, target := layers(t, filepath.Join(t.TempDir(), tt.dir), tt.lowers)
				m := mountapi.Mounter{API: api}
				if err := m.Overlay(&o, target); err != nil {
					t.Fatal(err)
				}
				wantFiles(t, target, tt.lowers)
				if err := os.WriteFile(filepath.Join(target, "new"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if _, err := os.Stat(filepath.Join(o.Upper, "new")); err != nil {
					t.Errorf("written file is not in the upper directory: %v", err)
				}
				if err := mountapi.Detach(target); err != nil {
					t.Fatal(err)
				}
				wantMountPoint(t, target, false)
			})
		}
	}
}

func TestOverlayFlags(t *testing.T) {
	testutil.RequireRoot(t)
	for name, api := range apis {
		t.Run(name, func(t *testing.T) {
			o, target := layers(t, t.TempDir(), 2)
			o.Upper, o.Work = "", ""
			o.Options.Flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NOATIME
			o.Options.Data = []string{"redirect_dir=nofollow"}
			m := mountapi.Mounter{API: api}
			if err := m.Overlay(&o, target); err != nil {
				t.Fatal(err)
			}
			var st unix.Statfs_t
			if err := unix.Statfs(target, &st); err != nil {
				t.Fatal(err)
			}
			const want = unix.ST_RDONLY | unix.ST_NODEV | unix.ST_NOSUID | unix.ST_NOEXEC | unix.ST_NOATIME
			if st.Flags&want != want {
				t.Errorf("flags of the mount are %#x, want %#x in them", st.Flags, want)
			}
			line := mountLine(t, target)
			if _, instance, _ := strings.Cut(line, " - "); !strings.Contains(instance, " ro,") || !strings.Contains(instance, "redirect_dir=nofollow") {
				t.Errorf("mount table says %s", line)
			}
			if err := os.WriteFile(filepath.Join(target, "f0"), nil, 0o600); !errors.Is(err, unix.EROFS) {
				t.Errorf("write: %v, want EROFS", err)
			}
		})
	}
}

func mountLine(t *testing.T, target string) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(table) {
		if fields := bytes.Fields(line); len(fields) > 4 && string(fields[4]) == target {
			return string(line)
		}
	}
	t.Fatalf("%s is not in the mount table", target)
	return ""
}

// TestOverlayRefused: the kernel's reason reaches the error, and nothing stays mounted.
func TestOverlayRefused(t *testing.T) {
	testutil.RequireRoot(t)
	for name, api := range apis {
		t.Run(name, func(t *testing.T) {
			o, target := layers(t, t.TempDir(), 2)
			o.Options.Data = []string{"no-such-option=1"}
			m := mountapi.Mounter{API: api}
			err := m.Overlay(&o, target)
			var k *mountapi.KernelError
			if !errors.As(err, &k) || !errors.Is(err, unix.EINVAL) {
				t.Fatalf("error %v, want a KernelError with EINVAL", err)
			}
			if api != mountapi.Classic && !strings.Contains(err.Error(), "no-such-option") {
				t.Errorf("error %q does not name the option", err)
			}
			wantMountPoint(t, target, false)
			o.Options.Data = nil
			if err := m.Overlay(&o, target); err != nil {
				t.Errorf("mount after a refused one: %v", err)
			}
		})
	}
}

func TestOverlayTree(t *testing.T) {
	testutil.RequireRoot(t)
	o, target := layers(t, t.TempDir(), 2)
	var m mountapi.Mounter
	tree, err := m.OverlayTree(&o)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, tree.Path(), 2)
	wantMountPoint(t, target, false)
	if err := tree.Attach(target); err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
	wantMountPoint(t, target, true)
	wantFiles(t, target, 2)
	classic := mountapi.Mounter{API: mountapi.Classic}
	if _, err := classic.OverlayTree(&o); !errors.Is(err, errdefs.ErrUnsupported) {
		t.Errorf("detached mount by mount(2): error %v, want ErrUnsupported", err)
	}
}

func wantMountPoint(t *testing.T, path string, want bool) {
	t.Helper()
	got, err := mountapi.IsMountPoint(path)
	if err != nil || got != want {
		t.Errorf("IsMountPoint(%s) = %v, %v; want %v", path, got, err, want)
	}
}

func TestBindPrivate(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mountapi.Detach(dir) })
	wantMountPoint(t, dir, false)
	if err := mountapi.BindPrivate(dir); err != nil {
		t.Fatal(err)
	}
	wantMountPoint(t, dir, true)
	if line := mountLine(t, dir); strings.Contains(line, "shared:") || strings.Contains(line, "master:") {
		t.Errorf("mount is not private: %s", line)
	}
	if below, err := mountapi.AnyBelow(dir); below || err != nil {
		t.Errorf("AnyBelow = %v, %v before anything is mounted there", below, err)
	}
	testutil.BindReadOnly(t, "/etc", sub)
	if below, err := mountapi.AnyBelow(dir); !below || err != nil {
		t.Errorf("AnyBelow = %v, %v with a mount in it", below, err)
	}
	if err := os.WriteFile(filepath.Join(sub, "strata-test"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write through read-only bind mount: %v", err)
	}
	if err := mountapi.Unmount(dir); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount with a mount in it: %v, want EBUSY", err)
	}
	for _, path := range []string{sub, dir, dir} { // the last one is not mounted any more
		if err := mountapi.Unmount(path); err != nil {
			t.Error(err)
		}
	}
	wantMountPoint(t, dir, false)
}

func TestIsMountPointOfNothing(t *testing.T) {
	wantMountPoint(t, filepath.Join(t.TempDir(), "nothing", "here"), false)
	wantMountPoint(t, "/proc", true)
}

func TestShiftIDs(t *testing.T) {
	testutil.RequireRoot(t)
	m := idmap.Mapping{
		UIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 1000}},
		GIDs: []idmap.Range{{ContainerID: 0, HostID: 200000, Size: 1000}},
	}
	ns, err := mountapi.UserNamespace(m)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	o, target := layers(t, t.TempDir(), 2)
	if err := os.Chown(filepath.Join(o.Lowers[0], "f0"), 7, 8); err != nil {
		t.Fatal(err)
	}
	for i, lower := range o.Lowers {
		tree, err := mountapi.Clone(lower)
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		if err := tree.ShiftIDs(ns); err != nil {
			t.Fatal(err)
		}
		o.Lowers[i] = tree.Path()
	}
	var mounter mountapi.Mounter
	if err := mounter.Overlay(&o, target); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]uint32{"f0": {100007, 200008}, "f1": {100000, 200000}} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(target, name), &st); err != nil {
			t.Fatal(err)
		}
		if got := [2]uint32{st.Uid, st.Gid}; got != want {
			t.Errorf("owner of %s is %v, want %v", name, got, want)
		}
	}
	if _, err := mountapi.UserNamespace(idmap.Mapping{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("user namespace without ranges: %v", err)
	}
}

func TestFSType(t *testing.T) {
	testutil.RequireRoot(t)
	memory := t.TempDir()
	if err := unix.Mount("tmpfs", memory, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(memory, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for path, want := range map[string]string{"/proc": "<unknown>", memory: "tmpfs"} {
		got, err := mountapi.FSTypeOf(path)
		if err != nil || got.String() != want {
			t.Errorf("file system of %s is %v, %v; want %s", path, got, err, want)
		}
	}
	if !mountapi.NFS.Network() || mountapi.XFS.Network() {
		t.Error("NFS is on the network and XFS is not")
	}
}
