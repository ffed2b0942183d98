package lockfile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/lockfile"
)

// TestNoLockFile: what is no file is refused at once; no link is written or created through.
func TestNoLockFile(t *testing.T) {
	tests := []struct {
		name string
		make func(path, target string) error
		read bool // somebody who only reads may go through it
	}{
		{"directory", func(path, _ string) error { return os.Mkdir(path, 0o700) }, false},
		{"fifo", func(path, _ string) error { return unix.Mkfifo(path, 0o600) }, false},
		{"link to nowhere", func(path, target string) error { return os.Symlink(target+".none", path) }, false},
		{"link to a directory", func(path, target string) error { return os.Symlink(filepath.Dir(target), path) }, false},
		{"link to a file", func(path, target string) error { return os.Symlink(target, path) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			outside := t.TempDir()
			path, target := filepath.Join(t.TempDir(), "some.lock"), filepath.Join(outside, "file")
			if err := errors.Join(os.WriteFile(target, nil, 0o600), tt.make(path, target)); err != nil {
				t.Fatal(err)
			}
			var is *lockfile.NotAFileError
			if _, err := lockfile.New(path, lockfile.Options{}).Exclusive(ctx); !errors.As(err, &is) || is.Path != path {
				t.Errorf("exclusive: %v", err)
			}
			held, err := lockfile.New(path, lockfile.Options{ReadOnly: true}).Shared(ctx)
			switch {
			case tt.read && err == nil:
				if err := held.Unlock(); err != nil {
					t.Error(err)
				}
			case tt.read || !errors.As(err, &is):
				t.Errorf("shared: %v", err)
			}
			entries, err := os.ReadDir(outside)
			if data, readErr := os.ReadFile(target); err != nil || readErr != nil || len(entries) != 1 || len(data) > 0 {
				t.Errorf("outside: %v, %q, %v, %v", entries, data, err, readErr)
			}
		})
	}
}
