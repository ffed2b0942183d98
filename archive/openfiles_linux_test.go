package archive_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
)

// layerWithLinks makes a layer beside a secret, and links that lead there.
func layerWithLinks(t testing.TB) string {
	t.Helper()
	dir := tempDir(t)
	layer := subdir(t, dir, "layer")
	subdir(t, layer, "real", "sub")
	check(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o644))
	for path, content := range map[string]string{"f": "f", "real/g": "g", "real/sub/h": "h", "secret": "the layer's own"} {
		check(t, os.WriteFile(filepath.Join(layer, path), []byte(content), 0o644))
	}
	for path, target := range map[string]string{
		"out": "..", "abs": "/", "abs-real": "/real", "rel": "real/sub", "last": "f", "loop": "loop", "far": filepath.Join(dir, "secret"), "self": "/proc/self/root",
	} {
		check(t, os.Symlink(target, filepath.Join(layer, path)))
	}
	check(t, unix.Mkfifo(filepath.Join(layer, "fifo"), 0o644))
	socket, err := net.Listen("unix", filepath.Join(layer, "sock"))
	check(t, err)
	t.Cleanup(func() { socket.Close() })
	return layer
}

func TestOpenFilesStaysInside(t *testing.T) {
	layer := layerWithLinks(t)
	files, err := archive.OpenFiles(layer)
	check(t, err)
	defer files.Close()
	tests := []struct {
		name, file, want string
		err              error
	}{
		{"plain", "f", "f", nil},
		{"in directories", "real/sub/h", "h", nil},
		{"as archivers write it", "./real//g", "g", nil},
		{"absolute", "/f", "f", nil},
		{"up and down inside", "real/../f", "f", nil},
		{"up", "../secret", "", errdefs.ErrInvalid},
		{"up after down", "real/../../secret", "", errdefs.ErrInvalid},
		{"NUL", "f\x00", "", errdefs.ErrInvalid},
		{"link to the directory above", "out/secret", "the layer's own", nil},
		{"link to the root", "abs/secret", "the layer's own", nil},
		{"link to an absolute directory of the layer", "abs-real/g", "g", nil},
		{"link to a directory", "rel/h", "h", nil},
		{"link at the end", "last", "", errdefs.ErrCorrupt},
		{"link at the end that leads out", "far", "", errdefs.ErrCorrupt},
		{"link at the end behind a link", "abs/far", "", errdefs.ErrCorrupt},
		{"link to itself", "loop/x", "", unix.ELOOP},
		{"link through proc", "self/etc/passwd", "", fs.ErrNotExist},
		{"directory", "real", "", errdefs.ErrCorrupt},
		{"the layer", ".", "", errdefs.ErrCorrupt},
		{"fifo", "fifo", "", errdefs.ErrCorrupt},
		{"socket", "sock", "", errdefs.ErrCorrupt},
		{"absent", "absent", "", fs.ErrNotExist},
		{"below a file", "f/x", "", fs.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := files.Get(tt.file)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error is %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			got, err := io.ReadAll(r)
			check(t, errors.Join(err, r.Close()))
			if string(got) != tt.want {
				t.Errorf("content is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOpenFilesLooksInEachDirectory(t *testing.T) {
	dir := tempDir(t)
	top, bottom := subdir(t, dir, "top"), subdir(t, dir, "bottom", "d")
	bottom = filepath.Dir(bottom)
	check(t, os.WriteFile(filepath.Join(top, "both"), []byte("top"), 0o644))
	check(t, os.WriteFile(filepath.Join(top, "d"), []byte("a file in the way"), 0o644))
	check(t, os.WriteFile(filepath.Join(bottom, "both"), []byte("bottom"), 0o644))
	check(t, os.WriteFile(filepath.Join(bottom, "d", "f"), []byte("below"), 0o644))
	files, err := archive.OpenFiles(top, bottom)
	check(t, err)
	for name, want := range map[string]string{"both": "top", "d/f": "below"} {
		r, err := files.Get(name)
		check(t, err)
		got, err := io.ReadAll(r)
		check(t, errors.Join(err, r.Close()))
		same(t, name, string(got), want)
	}
	check(t, files.Close())
	if _, err := files.Get("both"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := archive.OpenFiles(top, filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
}

func TestOpenFilesConcurrently(t *testing.T) {
	layer := layerWithLinks(t)
	files, err := archive.OpenFiles(layer)
	check(t, err)
	defer files.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				for _, name := range []string{"f", "real/g", "real/sub/h", "rel/h"} {
					r, err := files.Get(name)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}
