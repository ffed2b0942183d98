package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
)

// TestReadOnlyFiles: what is no regular file is told at once, without following or waiting.
func TestReadOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		make func(path string) error
		want error
	}{
		{"missing", func(string) error { return nil }, fs.ErrNotExist},
		{"link", func(path string) error { return os.Symlink(file, path) }, errdefs.ErrCorrupt},
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, errdefs.ErrCorrupt},
		{"fifo", func(path string) error { return unix.Mkfifo(path, 0o600) }, errdefs.ErrCorrupt},
		{"large", func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<30)) }, errdefs.ErrLimit},
	}
	for _, tt := range tests {
		path := filepath.Join(dir, tt.name)
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		if data, err := atomicfile.Read(path); !errors.Is(err, tt.want) {
			t.Errorf("%s: %q, %v", tt.name, data, err)
		}
	}
	if data, err := atomicfile.Read(file); string(data) != "text" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}
