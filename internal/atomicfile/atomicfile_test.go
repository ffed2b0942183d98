package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

func TestWrite(t *testing.T) {
	tests := []struct {
		name string
		old  string
		opts atomicfile.Options
		mode fs.FileMode
	}{
		{"new", "", atomicfile.Options{}, 0o600},
		{"replaces", "old", atomicfile.Options{}, 0o600},
		{"mode is not subject to umask", "", atomicfile.Options{Mode: 0o666}, 0o666},
		{"no sync", "old", atomicfile.Options{NoSync: true}, 0o600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "layers.json")
			if tt.old != "" {
				writeFile(t, path, tt.old)
			}
			mtime, err := atomicfile.Write(path, []byte("data"), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !info.ModTime().Equal(mtime) || info.Mode() != tt.mode {
				t.Errorf("file has %v, mode %v; Write said %v", info.ModTime(), info.Mode(), mtime)
			}
			wantOnly(t, path, "data")
		})
	}
}

// Readers of the old file must not see the new one's bytes: it is another inode.
func TestWriteLeavesOpenFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	writeFile(t, path, "old")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := atomicfile.Write(path, []byte("new!"), atomicfile.Options{}); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(f); err != nil || buf.String() != "old" {
		t.Fatalf("read %q, %v", buf.String(), err)
	}
}

func TestFailureLeavesOldFile(t *testing.T) {
	for _, point := range []string{"create", "write", "sync", "rename"} {
		t.Run(point, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			writeFile(t, path, "old")
			defer faults.Enable(faults.Rule{Point: "atomicfile." + point, Under: path, Err: unix.ENOSPC})()
			_, err := atomicfile.Write(path, []byte("new"), atomicfile.Options{})
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error = %v", err)
			}
			wantOnly(t, path, "old")
		})
	}
}

func TestDirectorySyncErrorIsReported(t *testing.T) {
	dir := t.TempDir()
	defer faults.Enable(faults.Rule{Point: "atomicfile.syncdir", Under: dir, Err: unix.EIO})()
	path := filepath.Join(dir, "f")
	if _, err := atomicfile.Write(path, []byte("new"), atomicfile.Options{}); !errors.Is(err, unix.EIO) {
		t.Fatalf("error = %v", err)
	}
	wantOnly(t, path, "new")
	if _, err := atomicfile.Write(path, []byte("newer"), atomicfile.Options{NoSync: true}); err != nil {
		t.Fatalf("without sync: %v", err)
	}
}

func TestValidate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	writeFile(t, path, "old")
	errBad := errors.New("bad")
	refuse := func([]byte) error { return errBad }
	if _, err := atomicfile.Write(path, []byte("new"), atomicfile.Options{Validate: refuse}); !errors.Is(err, errBad) {
		t.Fatalf("error = %v", err)
	}
	wantOnly(t, path, "old")
}

func TestTempName(t *testing.T) {
	dir := t.TempDir()
	p, err := atomicfile.Prepare(filepath.Join(dir, "layers.json"), []byte("x"), atomicfile.Options{Mode: 0o640})
	if err != nil {
		t.Fatal(err)
	}
	names := list(t, dir)
	if len(names) != 1 || !regexp.MustCompile(`^\.tmp-layers\.json[0-9]+$`).MatchString(names[0]) {
		t.Errorf("temporary files %q", names)
	}
	if info, err := os.Stat(filepath.Join(dir, names[0])); err != nil || info.Mode() != 0o640 {
		t.Errorf("temporary file: %v, %v", info.Mode(), err)
	}
	p.Abort()
	if names := list(t, dir); len(names) != 0 {
		t.Errorf("after Abort: %q", names)
	}
	p.Abort()
}

func TestMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "f")
	if _, err := atomicfile.Write(path, nil, atomicfile.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error = %v", err)
	}
	if err := atomicfile.SyncDir(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("SyncDir = %v", err)
	}
}

func writeFile(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantOnly checks that path is the only file in its directory and holds want.
func wantOnly(t *testing.T, path, want string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || string(data) != want {
		t.Errorf("%s holds %q, %v; want %q", path, data, err, want)
	}
	if names := list(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("files left: %q", names)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
