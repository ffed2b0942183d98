package dockerroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/errdefs"
)

// touch makes a file with its folders.
func touch(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	some := digest.FromString("x").Encoded()
	tests := []struct {
		name   string
		make   func(t *testing.T, dir string)
		driver string
		kind   error
		want   string
		hint   string
	}{
		{"nothing there", func(*testing.T, string) {}, "", errdefs.ErrNotFound, "no images", ""},
		{"an engine without images", func(t *testing.T, dir string) {
			touch(t, dir, "image/overlay2/repositories.json")
			m := os.MkdirAll(filepath.Join(dir, "image/overlay2/layerdb/sha256/x-removing"), 0o700)
			if m != nil {
				t.Fatal(m)
			}
		}, "", errdefs.ErrNotFound, "no images", ""},
		{"containerd, blobs", func(t *testing.T, dir string) {
			touch(t, dir, "containerd/daemon/io.containerd.content.v1.content/blobs/sha256", some)
		}, "", dockerroot.ErrContainerd, "containerd", "docker save"},
		{"containerd, snapshots", func(t *testing.T, dir string) {
			touch(t, dir, "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/x")
		}, "", dockerroot.ErrContainerd, "containerd", "strata load"},
		{"containerd, containers", func(t *testing.T, dir string) { touch(t, dir, "rootfs/overlayfs", some, "x") }, "", dockerroot.ErrContainerd, "containerd", ""},
		{"containerd, with a driver named", func(t *testing.T, dir string) { touch(t, dir, "rootfs/overlayfs", some, "x") }, "overlay2", dockerroot.ErrContainerd, "containerd", ""},
		{"several drivers", func(t *testing.T, dir string) {
			touch(t, dir, "image/overlay2/layerdb/sha256", some, "diff")
			touch(t, dir, "image/vfs/imagedb/content/sha256", some)
		}, "", errdefs.ErrInvalid, "overlay2, vfs", "--driver"},
		{"driver without folders", func(t *testing.T, dir string) { touch(t, dir, "image/btrfs/layerdb/sha256", some, "diff") }, "", errdefs.ErrUnsupported, "btrfs", "docker save"},
		{"driver without folders, named", func(t *testing.T, dir string) {
			touch(t, dir, "image/overlay2/layerdb/sha256", some, "diff")
			touch(t, dir, "image/zfs/layerdb/sha256", some, "diff")
		}, "zfs", errdefs.ErrUnsupported, "zfs", "docker save"},
		{"driver without images", func(t *testing.T, dir string) { touch(t, dir, "image/overlay2/layerdb/sha256", some, "diff") }, "../vfs", errdefs.ErrNotFound, `"../vfs", only of: overlay2`, ""},
		{"several remapped users", func(t *testing.T, dir string) {
			touch(t, dir, "100000.100000/image/overlay2/layerdb/sha256", some, "diff")
			touch(t, dir, "200000.100000/image/overlay2/layerdb/sha256", some, "diff")
		}, "", errdefs.ErrInvalid, "100000.100000 and 200000.100000", "--root"},
		{"image folder is a link", func(t *testing.T, dir string) {
			if err := os.Symlink("/var", filepath.Join(dir, "image")); err != nil {
				t.Fatal(err)
			}
		}, "", errdefs.ErrCorrupt, "symbolic link", ""},
		{"lock is a FIFO", func(t *testing.T, dir string) {
			touch(t, dir, "image/overlay2/layerdb/sha256", some, "diff")
			touch(t, dir, "volumes/x")
			if err := unix.Mkfifo(filepath.Join(dir, "volumes/metadata.db"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "", errdefs.ErrCorrupt, "whether an engine is running", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "odd [name]*")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.make(t, dir)
			r, err := dockerroot.Open(dir, dockerroot.Options{Driver: tt.driver})
			if r != nil || !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("error = %v, want one with %q and %q", err, tt.want, dir)
			}
			if got := errdefs.Hint(err); !strings.Contains(got, tt.hint) {
				t.Errorf("hint = %q, want one with %q", got, tt.hint)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	touch(t, file)
	if _, err := dockerroot.Open(file, dockerroot.Options{}); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
	if _, err := dockerroot.Open(file+"x", dockerroot.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

// TestRunning: an engine holds a lock on its volumes for its whole life.
func TestRunning(t *testing.T) {
	m := newMade(t, "overlay2")
	m.build("app:1", otherTar(t))
	db, err := os.OpenFile(filepath.Join(m.dir, "volumes/metadata.db"), os.O_RDWR, 0)
	m.ok(err)
	defer db.Close()
	m.ok(unix.Flock(int(db.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	_, err = dockerroot.Open(m.dir, dockerroot.Options{})
	if !errors.Is(err, dockerroot.ErrRunning) || !errors.Is(err, errdefs.ErrLocked) || !strings.Contains(errdefs.Hint(err), "--force-running") {
		t.Errorf("error = %v, hint %q", err, errdefs.Hint(err))
	}
	if got := m.open(dockerroot.Options{AllowRunning: true}).Images(false); len(got) != 1 {
		t.Errorf("forced: %+v", got)
	}
	m.ok(unix.Flock(int(db.Fd()), unix.LOCK_UN))
	m.open(dockerroot.Options{})
	// The engine can be started while the root is open.
	m.ok(unix.Flock(int(db.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	m.ok(os.Remove(filepath.Join(m.dir, "volumes/metadata.db")))
	m.open(dockerroot.Options{}) // a copy without volumes
}

// TestSeveralDrivers: a root may hold the leavings of an earlier driver.
func TestSeveralDrivers(t *testing.T) {
	dir := t.TempDir()
	first, _ := newMadeIn(t, dir, "overlay2").build("a:1", otherTar(t))
	m := newMadeIn(t, dir, "vfs")
	second, _ := m.build("b:1", baseTar(t))
	for driver, want := range map[string]digest.Digest{"overlay2": first, "vfs": second} {
		r := m.open(dockerroot.Options{Driver: driver})
		if got := r.Images(true); r.Driver() != driver || len(got) != 1 || got[0].ID != want {
			t.Errorf("%s: %+v", driver, got)
		}
	}
}

// TestRemappedUsers: everything is one folder deeper.
func TestRemappedUsers(t *testing.T) {
	dir := t.TempDir()
	deep := newMadeIn(t, filepath.Join(dir, "100000.100000"), "overlay2")
	id, _ := deep.build("deep:1", baseTar(t), topTar(t))
	r, err := dockerroot.Open(dir, dockerroot.Options{})
	deep.ok(err)
	defer r.Close()
	if got := r.Images(false); len(got) != 1 || got[0].ID != id || got[0].Err != nil || len(r.Skipped()) != 0 {
		t.Errorf("images %+v, skipped %v", got, r.Skipped())
	}
	db, err := os.OpenFile(filepath.Join(deep.dir, "volumes/metadata.db"), os.O_RDWR, 0)
	deep.ok(err)
	deep.ok(unix.Flock(int(db.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	if _, err := dockerroot.Open(dir, dockerroot.Options{}); !errors.Is(err, dockerroot.ErrRunning) {
		t.Errorf("running: %v", err)
	}
	deep.ok(db.Close())

	plain := newMadeIn(t, dir, "overlay2")
	plainID, _ := plain.build("plain:1", otherTar(t))
	r = plain.open(dockerroot.Options{})
	if got := r.Images(false); len(got) != 1 || got[0].ID != plainID {
		t.Errorf("beside: %+v", got)
	}
	if got := r.Skipped(); len(got) != 1 || !strings.Contains(got[0].Error(), "100000.100000") {
		t.Errorf("skipped: %v", got)
	}
}

// TestSkipped: what no image accounts for is told with its reason.
func TestSkipped(t *testing.T) {
	m := newMade(t, "overlay2")
	m.build("app:1", otherTar(t))
	stray := m.add("", baseTar(t))
	touch(t, m.db(stray), "cache-id")
	touch(t, m.image("layerdb/sha256"), digest.FromString("x").Encoded()+"-removing", "diff")
	touch(t, m.image("layerdb/sha512"), "x")
	touch(t, m.image("layerdb/tmp/write-set-1"), "diff")
	m.name("UPPER:1", digest.FromString("x").String())
	m.name("odd:1", "sha256:../../x")
	touch(t, m.dir, "containerd/daemon/io.containerd.content.v1.content/blobs/sha256/x") // of a pull
	touch(t, m.dir, "containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots/1/x")
	r := m.open(dockerroot.Options{})
	var text []string
	for _, err := range r.Skipped() {
		text = append(text, err.Error())
	}
	if len(text) != 4 {
		t.Errorf("skipped: %q", text)
	}
	for _, want := range []string{string(stray), "UPPER", `"sha256:../../x"`, "containerd keeps"} {
		if !strings.Contains(strings.Join(text, "\n"), want) {
			t.Errorf("skipped %q has no %q", text, want)
		}
	}
	if got := r.Images(true); len(got) != 1 {
		t.Errorf("images: %+v", got)
	}
}

// TestNamesLost: images outlive a damaged list of their names.
func TestNamesLost(t *testing.T) {
	for name, text := range map[string]string{"damaged": "{", "missing": ""} {
		t.Run(name, func(t *testing.T) {
			m := newMade(t, "vfs")
			id, _ := m.build("app:1", otherTar(t))
			if text == "" {
				m.ok(os.Remove(m.image("repositories.json")))
			} else {
				m.write(m.image("repositories.json"), []byte(text))
			}
			r := m.open(dockerroot.Options{})
			if got := r.Images(true); len(got) != 1 || got[0].ID != id || len(r.Images(false)) != 0 {
				t.Errorf("images: %+v", got)
			}
			if got := r.Skipped(); (len(got) == 1) != (text != "") {
				t.Errorf("skipped: %v", got)
			}
		})
	}
}

func TestFind(t *testing.T) {
	m := newMade(t, "overlay2")
	id, _ := m.build("app:latest", otherTar(t))
	m.name("registry.example/team/app@"+digest.FromString("m").String(), string(id))
	lost := digest.FromString("lost")
	m.name("lost:1", string(lost))
	step, _ := m.build("", baseTar(t))
	r := m.open(dockerroot.Options{})
	tests := []struct {
		wanted string
		id     digest.Digest
		kind   error
	}{
		{"app", id, nil},
		{"app:latest", id, nil},
		{"docker.io/library/app:latest", id, nil},
		{"registry.example/team/app@" + digest.FromString("m").String(), id, nil},
		{id.String(), id, nil},
		{id.Encoded()[:12], id, nil},
		{step.String()[:20], step, nil},
		{"lost:1", lost, nil},
		{"app:2", "", errdefs.ErrNotFound},
		{"localhost/app", "", errdefs.ErrNotFound},
		{"", "", errdefs.ErrNotFound},
		{"sha256:", "", errdefs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.wanted, func(t *testing.T) {
			got, err := r.Find(tt.wanted)
			if got.ID != tt.id || !errors.Is(err, tt.kind) {
				t.Errorf("found %s, %v", got.ID, err)
			}
		})
	}
	img, err := r.Find("app")
	m.ok(err)
	want := []string{"docker.io/library/app:latest", "registry.example/team/app@" + digest.FromString("m").String()}
	if img.Created.Nanosecond() != 123456789 || img.Size != 10 || len(img.Layers) != 1 || !cmp.Equal(img.Names, want) {
		t.Errorf("image: %+v", img)
	}
	if img, err := r.Find("lost:1"); err != nil || !errors.Is(img.Err, errdefs.ErrCorrupt) {
		t.Errorf("an image that is only a name: %+v, %v", img, err)
	}
}
