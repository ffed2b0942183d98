package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// driver opens a driver over root; "" is a directory of the test's own. What is mounted
// below it ends with the test.
func driver(t *testing.T, root string) *Driver {
	t.Helper()
	if root == "" {
		root = filepath.Join(t.TempDir(), "volumes")
	}
	d, err := New(t.Context(), Options{Root: root})
	must(t, err)
	t.Cleanup(func() {
		dirs, _ := filepath.Glob(filepath.Join(root, "*", dataDir))
		for _, dir := range dirs {
			_ = mountapi.Detach(dir)
		}
	})
	return d
}

func mounted(t *testing.T, d *Driver, name string) bool {
	t.Helper()
	is, err := mountapi.IsMountPoint(d.path(name, dataDir))
	must(t, err)
	return is
}

var tmpfs = map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1770"}

func TestDirectoryVolume(t *testing.T) {
	d := driver(t, "")
	info, err := d.Create(t.Context(), "data", nil)
	must(t, err)
	st, err := os.Stat(info.Mountpoint)
	must(t, err)
	top, err := os.Stat(filepath.Dir(info.Mountpoint))
	must(t, err)
	if st.Mode().Perm() != 0o755 || top.Mode().Perm() != 0o701 {
		t.Errorf("modes are %v and %v", st.Mode(), top.Mode())
	}
	must(t, os.WriteFile(info.Mountpoint+"/file", []byte("12345"), 0o600))
	if size, err := d.Size(t.Context(), "data"); size != 5 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	again, err := driver(t, d.opts.Root).Create(t.Context(), "data", tmpfs)
	must(t, err)
	if again.Mountpoint != info.Mountpoint {
		t.Error("another volume")
	}
	must(t, d.Remove(t.Context(), "data"))
	if err := d.Remove(t.Context(), "data"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(d.opts.Root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOptionErrors(t *testing.T) {
	drivers := volume.NewRegistry(volume.RegistryOptions{})
	must(t, drivers.Register(driver(t, "")))
	s, err := volume.Open(t.Context(), volume.Options{Drivers: drivers})
	must(t, err)
	defer s.Close()
	for _, c := range []struct {
		name    string
		options map[string]string
		text    string
		kind    error
	}{
		{"V", map[string]string{}, "create V: volume name is too short, names should be at least two alphanumeric characters", errdefs.ErrInvalid},
		{"VV", map[string]string{"foo": "1"}, `create VV: invalid option: "foo"`, ErrOption},
		{"VV", map[string]string{"type": "tmpfs"}, `create VV: missing required option: "device"`, ErrMissing},
		{"VV", map[string]string{"device": "x"}, `create VV: missing required option: "type"`, ErrMissing},
		{"VV", map[string]string{"o": "ro"}, `create VV: missing required option: "type"`, ErrMissing},
		{"VV", map[string]string{"type": "none", "device": "/x", "o": "bind,remount"}, `create VV: invalid option: "remount" in o`, ErrOption},
		{"VV", map[string]string{"size": "much"}, `create VV: invalid option: size "much" is not a number with a unit such as 10g`, ErrOption},
		{"metadata.db", nil, `create metadata.db: invalid volume name: "metadata.db" is reserved`, errdefs.ErrInvalid},
	} {
		_, err := s.Create(t.Context(), c.name, volume.CreateOptions{Driver: "local", Options: c.options})
		if err == nil || err.Error() != c.text || !errors.Is(err, c.kind) {
			t.Errorf("got %v, want %s", err, c.text)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, size := range map[string]uint64{"0": 0, "100": 100, "1k": 1024, "1.5 KiB": 1536, "10g": 10 << 30, "2MB": 2 << 20, "1b": 1} {
		if got, err := parseSize(text); got != size || err != nil {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1x", "k", "99999p", "1e3", "0x10"} {
		if got, err := parseSize(text); !errors.Is(err, ErrOption) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestMountVolumesAreMountedOnce(t *testing.T) {
	testutil.RequireRoot(t)
	d := driver(t, "")
	_, err := d.Create(t.Context(), "tmp", tmpfs)
	must(t, err)
	if mounted(t, d, "tmp") {
		t.Fatal("mounted by Create")
	}
	var path string
	for _, id := range []string{"a", "a", "b"} {
		path, err = d.Mount(t.Context(), "tmp", id)
		must(t, err)
	}
	must(t, os.WriteFile(path+"/file", nil, 0o600))
	var st unix.Statfs_t
	must(t, unix.Statfs(path, &st))
	if st.Type != unix.TMPFS_MAGIC || st.Blocks*uint64(st.Bsize) != 1<<20 {
		t.Errorf("not the tmpfs asked for: %+v", st)
	}
	if err := d.Remove(t.Context(), "tmp"); !errors.Is(err, volume.ErrInUse) {
		t.Errorf("removal of a volume in use: %v", err)
	}
	for _, step := range []struct {
		id   string
		left bool
	}{{"stranger", true}, {"a", true}, {"b", true}, {"b", true}, {"a", false}, {"a", false}} {
		must(t, d.Unmount(t.Context(), "tmp", step.id))
		if mounted(t, d, "tmp") != step.left {
			t.Fatalf("after unmount of %s: mounted is %v", step.id, !step.left)
		}
	}
	must(t, d.Remove(t.Context(), "tmp"))
}

func TestBindAndOverlay(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := driver(t, ""), t.TempDir()
	must(t, os.MkdirAll(base+"/sub", 0o755), os.WriteFile(base+"/file", []byte("base"), 0o644))
	upper := t.TempDir()
	must(t, os.MkdirAll(upper+"/u", 0o755), os.MkdirAll(upper+"/w", 0o755))
	for _, c := range []struct {
		name     string
		options  map[string]string
		writable bool
	}{
		{"bind", map[string]string{"type": "none", "device": base, "o": "bind"}, true},
		{"rbind-ro", map[string]string{"type": "none", "device": base, "o": "rbind,ro,rprivate"}, false},
		{"overlay", map[string]string{"type": "overlay", "device": "overlay", "o": "lowerdir=" + base + ",upperdir=" + upper + "/u,workdir=" + upper + "/w"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.Create(t.Context(), c.name, c.options)
			must(t, err)
			path, err := d.Mount(t.Context(), c.name, "x")
			must(t, err)
			if text, err := os.ReadFile(path + "/file"); string(text) != "base" {
				t.Errorf("%q, %v", text, err)
			}
			if err := os.WriteFile(path+"/new", nil, 0o600); (err == nil) != c.writable {
				t.Errorf("writing: %v", err)
			}
			must(t, d.Unmount(t.Context(), c.name, "x"), d.Remove(t.Context(), c.name))
			if _, err := os.Stat(base + "/file"); err != nil {
				t.Fatal("removal went into the mount")
			}
		})
	}
}

func TestFailedMountMasksPasswords(t *testing.T) {
	testutil.RequireRoot(t)
	d := driver(t, "")
	_, err := d.Create(t.Context(), "share", map[string]string{"type": "no-such-fs", "device": "//127.0.0.1/x", "o": "addr=127.0.0.1,username=u,password=hunter2,vers=3"})
	must(t, err)
	_, err = d.Mount(t.Context(), "share", "x")
	if err == nil || !strings.Contains(err.Error(), "failed to mount local volume") {
		t.Fatal(err)
	}
	if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "password=********,vers=3") {
		t.Errorf("password: %v", err)
	}
	must(t, d.Remove(t.Context(), "share"))
}

func TestAddressesAreResolved(t *testing.T) {
	for text, want := range map[string]string{
		"addr=127.0.0.1,rw": "addr=127.0.0.1", "addr=::1": "addr=::1", "addr=[fe80::1]": "addr=[fe80::1]", "vers=4": "vers=4",
	} {
		o, err := parseMountOptions(text)
		must(t, err, o.resolveAddress(t.Context()))
		if o.data[0] != want {
			t.Errorf("%s: %v", text, o.data)
		}
	}
	o, err := parseMountOptions("addr=localhost")
	must(t, err, o.resolveAddress(t.Context()))
	if o.data[0] != "addr=127.0.0.1" && o.data[0] != "addr=::1" {
		t.Errorf("localhost is %v", o.data)
	}
}

func TestRemovalNeverEntersAMount(t *testing.T) {
	testutil.RequireRoot(t)
	d, precious := driver(t, ""), t.TempDir()
	info, err := d.Create(t.Context(), "data", nil)
	must(t, err, os.WriteFile(precious+"/keep", nil, 0o600), os.Mkdir(info.Mountpoint+"/in", 0o755))
	must(t, unix.Mount(precious, info.Mountpoint+"/in", "", unix.MS_BIND, ""))
	defer unix.Unmount(info.Mountpoint+"/in", unix.MNT_DETACH)
	if err := d.Remove(t.Context(), "data"); !errors.Is(err, errdefs.ErrInUse) {
		t.Error(err)
	}
	if _, err := os.Stat(precious + "/keep"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Get(t.Context(), "data"); err != nil {
		t.Error("the volume is forgotten", err)
	}
}

func TestRemovalOfALinkOutOfTheFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "volumes")
	d := driver(t, root)
	info, err := d.Create(t.Context(), "data", nil)
	must(t, err, os.Remove(info.Mountpoint))
	outside := root + "-x" // shares the folder's prefix as a string
	must(t, os.MkdirAll(outside+"/data", 0o755), os.Symlink(outside+"/data", info.Mountpoint))
	if err := d.Remove(t.Context(), "data"); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
	if _, err := os.Stat(outside + "/data"); err != nil {
		t.Error(err)
	}
}

func TestStart(t *testing.T) {
	testutil.RequireRoot(t)
	root := filepath.Join(t.TempDir(), "volumes")
	d := driver(t, root)
	for _, name := range []string{"plain", "damaged", "tmp"} {
		_, err := d.Create(t.Context(), name, tmpfs)
		must(t, err)
	}
	_, err := d.Mount(t.Context(), "tmp", "a")
	must(t, err, os.WriteFile(root+"/damaged/opts.json", []byte("{"), 0o600), os.WriteFile(root+"/metadata.db", nil, 0o600),
		os.MkdirAll(root+"/.removed-1/x", 0o700), os.MkdirAll(root+"/.new-1/_data", 0o700))
	d = driver(t, root)
	list, err := d.List(t.Context())
	if len(list) != 3 || err != nil {
		t.Errorf("list %v, %v", list, err)
	}
	if left, _ := filepath.Glob(root + "/.*-1"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := d.Mount(t.Context(), "damaged", "x"); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Error(err)
	}
	must(t, d.Restore(t.Context(), "tmp", "a", 1))
	_, err = d.Mount(t.Context(), "tmp", "b")
	must(t, err, d.Unmount(t.Context(), "tmp", "b"))
	if !mounted(t, d, "tmp") {
		t.Error("unmounted under the user who outlived the process")
	}
	must(t, d.Unmount(t.Context(), "tmp", "a"))
	if mounted(t, d, "tmp") {
		t.Error("mounted a second time on top of the first")
	}
}

func TestParallelMounts(t *testing.T) {
	testutil.RequireRoot(t)
	d := driver(t, "")
	_, err := d.Create(t.Context(), "tmp", tmpfs)
	must(t, err)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			id := fmt.Sprint(i % 3)
			if _, err := d.Mount(context.Background(), "tmp", id); err != nil {
				t.Error(err)
			}
			if err := d.Unmount(context.Background(), "tmp", id); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if mounted(t, d, "tmp") {
		t.Error("still mounted")
	}
	must(t, d.Remove(t.Context(), "tmp"))
}

func TestQuota(t *testing.T) {
	testutil.RequireRoot(t)
	plain := driver(t, t.TempDir())
	_, err := plain.Create(t.Context(), "limited", map[string]string{"size": "1m"})
	if !errors.Is(err, ErrNoQuota) || err.Error() != "quota size requested but no quota support" {
		t.Errorf("without quotas: %v", err)
	}
	if left, _ := os.ReadDir(plain.opts.Root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	dir := t.TempDir()
	image, mnt := dir+"/image", dir+"/mnt"
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20), os.Mkdir(mnt, 0o755))
	if out, err := exec.Command(testutil.RequireProgram(t, "mkfs.ext4"), "-q", "-O", "quota,project", "-E", "quotatype=prjquota", image).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop,prjquota", image, mnt).CombinedOutput(); err != nil {
		t.Skipf("this kernel has no project quotas on ext4: %s", out)
	}
	defer exec.Command("umount", mnt).Run()
	d := driver(t, mnt+"/volumes")
	for _, name := range []string{"one", "two"} {
		info, err := d.Create(t.Context(), name, map[string]string{"size": "1m"})
		must(t, err, os.WriteFile(info.Mountpoint+"/fits", make([]byte, 900<<10), 0o600))
		if err := os.WriteFile(info.Mountpoint+"/more", make([]byte, 900<<10), 0o600); !errors.Is(err, unix.EDQUOT) && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s takes more than its size: %v", name, err)
		}
	}
}

func FuzzMountOptions(f *testing.F) {
	for _, seed := range []string{"size=1m,mode=1770", "bind,ro", "addr=host,rw", "remount", ",,", "password=a,pass=b"} {
		f.Add(seed, "1k")
	}
	f.Fuzz(func(t *testing.T, text, size string) {
		if s, err := parseSpec(map[string]string{"type": "x", "device": "y", "o": text, "size": size}); err == nil && strings.Contains(","+s.MountOpts+",", ",remount,") {
			t.Errorf("%q is accepted", text)
		}
		if strings.Contains(mask("password=geheim,"+text), "geheim") {
			t.Errorf("%q unmasks", text)
		}
	})
}

// TestAnotherProcess: while this one waits for the store's database, another makes a volume,
// removes one and is at work on a third.
func TestAnotherProcess(t *testing.T) {
	testutil.RequireRoot(t)
	root := filepath.Join(t.TempDir(), "volumes")
	other := driver(t, root)
	_, err := other.Create(t.Context(), "gone", nil)
	must(t, err)
	d := driver(t, root)
	_, err = other.Create(t.Context(), "made", tmpfs)
	must(t, err, other.Remove(t.Context(), "gone"))
	if _, err := d.Get(t.Context(), "gone"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Errorf("the volume that was removed: %v", err)
	}
	_, err = d.Create(t.Context(), "gone", nil)
	must(t, err)
	list, err := d.List(t.Context())
	if len(list) != 2 || err != nil {
		t.Errorf("list %v, %v", list, err)
	}
	_, err = d.Mount(t.Context(), "made", "a")
	must(t, err, d.Unmount(t.Context(), "made", "a"))
	must(t, other.build("slow", spec{}, false, func(string) error {
		driver(t, root) // which sweeps
		return nil
	}))
}

// TestSettle: after a mount that nobody was told of, only the others' users count.
func TestSettle(t *testing.T) {
	testutil.RequireRoot(t)
	d := driver(t, "")
	_, err := d.Create(t.Context(), "tmp", tmpfs)
	must(t, err)
	for _, id := range []string{"a", "b"} {
		_, err = d.Mount(t.Context(), "tmp", id)
		must(t, err)
	}
	must(t, d.Settle(t.Context(), "tmp", "b", 0))
	if !mounted(t, d, "tmp") {
		t.Error("unmounted under another user")
	}
	must(t, d.Settle(t.Context(), "tmp", "a", 0), d.Settle(t.Context(), "tmp", "a", 0))
	if mounted(t, d, "tmp") {
		t.Error("mounted for nobody")
	}
}
