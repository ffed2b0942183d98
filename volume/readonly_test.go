package volume

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// TestLookOnlyOnReadOnly: who only looks can do so where nothing can be written, and what the
// database says of volumes that are gone or new stays.
func TestLookOnlyOnReadOnly(t *testing.T) {
	testutil.RequireRoot(t)
	dir, mounted := t.TempDir(), t.TempDir()
	s := open(t, filepath.Join(dir, "metadata.db"), newFake("local"))
	create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}})
	create(t, s, "gone", CreateOptions{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	testutil.BindReadOnly(t, dir, mounted)
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) })
	opts := Options{Path: filepath.Join(mounted, "metadata.db"), LookOnly: true}
	for range 2 {
		s = openWith(t, opts, newFake("local", "v", "new"))
		found, err := s.Find(t.Context(), Filter{})
		if err != nil || len(found.Volumes) != 2 || found.Volumes[1].Labels["k"] != "v" {
			t.Errorf("%+v, %v", found, err)
		}
		if v, err := s.Get(t.Context(), "new", GetOptions{}); err != nil || v.Driver != "local" {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := s.Get(t.Context(), "gone", GetOptions{}); !errors.Is(err, ErrNoSuchVolume) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	opts.LookOnly = false
	if _, err := Open(t.Context(), opts); !errors.Is(err, unix.EROFS) {
		t.Errorf("opened to change something: %v", err)
	}
	s = openWith(t, Options{Path: filepath.Join(mounted, "none", "metadata.db"), LookOnly: true}, newFake("local", "new"))
	if found, err := s.Find(t.Context(), Filter{}); err != nil || len(found.Volumes) != 1 {
		t.Errorf("without a database: %+v, %v", found, err)
	}
	s = open(t, filepath.Join(dir, "metadata.db"), newFake("local", "gone"))
	if v, err := s.Get(t.Context(), "gone", GetOptions{}); err != nil || v.Driver != "local" {
		t.Errorf("afterwards: %+v, %v", v, err)
	}
}

// TestInterruptedOpenIsQuiet: who gives up while volumes are asked for is told so once.
func TestInterruptedOpenIsQuiet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	for _, name := range []string{"v", "w"} {
		create(t, s, name, CreateOptions{})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	local.fail = func(string, string) error { cancel(); return ctx.Err() }
	var log bytes.Buffer
	drivers := NewRegistry(RegistryOptions{})
	if err := drivers.Register(local); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Options{Path: path, Drivers: drivers, Logger: slog.New(slog.NewTextHandler(&log, nil))}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("log:\n%s", log.String())
	}
}
