package reserve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// sizes are how many files there are, and the bytes of the smallest.
func sizes(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	least := int64(0)
	for i, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if least = min(least, info.Size()); i == 0 {
			least = info.Size()
		}
	}
	return fmt.Sprintf("%d of %d", len(entries), least)
}

func TestKeepAndTake(t *testing.T) {
	dir := t.TempDir()
	s := New(filepath.Join(dir, "strata", "reserve"))
	taken := 0
	take := func() error {
		taken++
		f, err := s.Take(filepath.Join(dir, fmt.Sprint(taken)))
		if err != nil {
			return err
		}
		return f.Close()
	}
	takeAll := func() error {
		for range spares {
			if err := take(); err != nil {
				return err
			}
		}
		if err := take(); !errors.Is(err, ErrEmpty) {
			return fmt.Errorf("taking from nothing: %w", err)
		}
		return nil
	}
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"nothing kept yet", func() error { return nil }, "0 of 0"},
		{"the least", func() error { return s.Keep(1) }, "6 of 65536"},
		{"more", func() error { return s.Keep(unit + 1) }, "6 of 131072"},
		{"never less", func() error { return s.Keep(1) }, "6 of 131072"},
		{"one taken", take, "5 of 131072"},
		{"not kept while it is needed", func() error { return s.Keep(1) }, "5 of 131072"},
		{"restored", func() error { return s.Restore() }, "6 of 131072"},
		{"restored already", func() error { return s.Restore() }, "6 of 131072"},
		{"all taken", takeAll, "0 of 0"},
		{"restored from nothing", func() error { return s.Restore() }, "6 of 131072"},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := sizes(t, s.dir); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

func TestTakeReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	s := New(filepath.Join(dir, "reserve"))
	if err := s.Keep(1); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "there")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("error = %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestNilIsEmpty(t *testing.T) {
	var s *Space
	if err := errors.Join(s.Keep(1<<20), s.Restore()); err != nil {
		t.Error(err)
	}
	if _, err := s.Take(filepath.Join(t.TempDir(), "x")); !errors.Is(err, ErrEmpty) {
		t.Error(err)
	}
}

// On a full disk what is taken can be written, though nothing else can.
func TestTakeOnAFullDisk(t *testing.T) {
	testutil.RequireRoot(t)
	for _, options := range []string{"size=1m", "nr_inodes=20"} {
		t.Run(options, func(t *testing.T) {
			dir := t.TempDir()
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			s := New(filepath.Join(dir, "reserve"))
			if err := s.Keep(0); err != nil {
				t.Fatal(err)
			}
			for i := 0; os.WriteFile(filepath.Join(dir, fmt.Sprint("ballast", i)), make([]byte, page), 0o600) == nil; i++ {
			}
			if err := s.Keep(8 << 20); options == "size=1m" && !Full(err) {
				t.Errorf("more than there is can be kept: %v", err)
			} else if got := sizes(t, s.dir); options == "size=1m" && got != "6 of 65536" {
				t.Errorf("after a failure there are %s", got)
			}
			f, err := s.Take(filepath.Join(dir, "taken"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Write(make([]byte, unit))
			if err := errors.Join(err, f.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

const page = 4096
