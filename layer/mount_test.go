package layer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/lockfile"
)

func mounted(t testing.TB, s *Store, id ID) int {
	t.Helper()
	n, err := s.Mounted(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMountCounts(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		l := load(t, s, "", baseTar(t))
		c := create(t, s, CreateOptions{Parent: l.ID})
		first, err := s.Mount(ctx, c.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(first, "etc/hello")); err != nil || string(data) != "hello\n" {
			t.Errorf("mounted tree: %q, %v", data, err)
		}
		second, err := s.Mount(ctx, c.ID, MountOptions{})
		if err != nil || second != first {
			t.Errorf("second mount at %s, %v; want %s", second, err, first)
		}
		if l := get(t, s, c.ID); l.MountCount != 2 || l.MountPath != first {
			t.Errorf("recorded: %d at %s", l.MountCount, l.MountPath)
		}
		for _, want := range []bool{false, true, true} {
			if gone, err := s.Unmount(ctx, c.ID, UnmountOptions{}); err != nil || gone != want {
				t.Errorf("unmounted %v, %v; want %v", gone, err, want)
			}
		}
		if n := mounted(t, s, c.ID); n != 0 {
			t.Errorf("mounted %d times at the end", n)
		}
		if _, err := s.Unmount(ctx, c.ID, UnmountOptions{Strict: true}); !errors.Is(err, ErrNotMounted) {
			t.Errorf("strict unmount: %v", err)
		}
	})
}

func TestForcedUnmount(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		c := create(t, s, CreateOptions{})
		for range 3 {
			if _, err := s.Mount(ctx, c.ID, MountOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if gone, err := s.Unmount(ctx, c.ID, UnmountOptions{Force: true}); err != nil || !gone {
			t.Errorf("forced unmount: %v, %v", gone, err)
		}
		if n := mounted(t, s, c.ID); n != 0 {
			t.Errorf("mounted %d times", n)
		}
		if e.driver == "overlay" && isMountPoint(t, filepath.Join(e.graph, "overlay", string(c.ID), "merged")) {
			t.Error("the kernel still has the mount")
		}
	})
}

// isMountPoint reads the mount table.
func isMountPoint(t testing.TB, path string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(table), " "+path+" ")
}

func TestMountErrors(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	ctx := context.Background()
	if _, err := s.Mount(ctx, "nope", MountOptions{}); !errors.Is(err, ErrUnknown) || err.Error() != "layer not known" {
		t.Errorf("mount: %v", err)
	}
	if _, err := s.Unmount(ctx, "nope", UnmountOptions{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("unmount: %v", err)
	}
	if _, err := s.Mounted(ctx, "nope"); !errors.Is(err, ErrUnknown) {
		t.Errorf("mounted: %v", err)
	}
}

func TestLostMountIsMadeAgain(t *testing.T) {
	e := newEnv(t, "overlay")
	s := e.open(t)
	ctx := context.Background()
	l := load(t, s, "", baseTar(t))
	path, err := s.Mount(ctx, l.ID, MountOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if n := mounted(t, s, l.ID); n != 0 {
		t.Errorf("a lost mount counts as %d", n)
	}
	if path, err = s.Mount(ctx, l.ID, MountOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "etc/hello")); err != nil {
		t.Error(err)
	}
	if n := mounted(t, s, l.ID); n != 1 {
		t.Errorf("counted %d times after the loss", n)
	}
	if gone, err := s.Unmount(ctx, l.ID, UnmountOptions{}); err != nil || !gone || isMountPoint(t, path) {
		t.Errorf("unmount: %v, %v", gone, err)
	}
}

func TestMountedLayerIsUnmountedByDeletion(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		l := create(t, s, CreateOptions{ID: "x"})
		path, err := s.Mount(ctx, l.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		remove(t, s, l.ID)
		if isMountPoint(t, path) {
			t.Error("the kernel still has the mount")
		}
		create(t, s, CreateOptions{ID: "x"})
		if l := get(t, s, "x"); l.MountCount != 0 {
			t.Errorf("the new layer counts as mounted %d times", l.MountCount)
		}
	})
}

func TestDamagedMountCountsDoNotHideLayers(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := create(t, s, CreateOptions{})
	path := filepath.Join(e.runDir(), mountsName)
	if err := os.WriteFile(path, []byte(`[{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	get(t, s, l.ID)
	if _, err := s.Mount(context.Background(), l.ID, MountOptions{}); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("mount: %v, want ErrCorrupt", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestDriverIsRenewedAfterAShutdown(t *testing.T) {
	e := newEnv(t, "vfs")
	opts := e.options(t)
	renewed := 0
	opts.Renew = func(context.Context) (graphdriver.Driver, error) {
		renewed++
		return opts.Driver, nil
	}
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	l := create(t, s, CreateOptions{})
	for i, want := range []int{0, 0, 1, 1} {
		if i == 2 {
			held, err := lockfile.New(opts.StorageLock.Path(), lockfile.Options{}).Exclusive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := held.Touch(); err != nil {
				t.Fatal(err)
			}
			if err := held.Unlock(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Mount(ctx, l.ID, MountOptions{}); err != nil {
			t.Fatal(err)
		}
		if renewed != want {
			t.Errorf("mount %d: driver renewed %d times, want %d", i, renewed, want)
		}
	}
}

func TestCountsFromBeforeTheBootAreStale(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	ctx := context.Background()
	l, other := create(t, s, CreateOptions{}), create(t, s, CreateOptions{})
	for _, id := range []ID{l.ID, other.ID} {
		if _, err := s.Mount(ctx, id, MountOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Unix(1e9, 0)
	if err := os.Chtimes(filepath.Join(e.runDir(), mountsName), old, old); err != nil {
		t.Fatal(err)
	}
	if n := mounted(t, s, l.ID); n != 0 {
		t.Errorf("counted %d times", n)
	}
	if _, err := s.Mount(ctx, l.ID, MountOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := mounted(t, s, l.ID); n != 1 {
		t.Errorf("counted %d times after a fresh mount", n)
	}
	if n := mounted(t, s, other.ID); n != 0 {
		t.Errorf("the other one is back: counted %d times", n)
	}
}
