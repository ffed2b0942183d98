package oci_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/oci"
)

func TestSaveAndLoadAgain(t *testing.T) {
	base, top := twoLayers(t)
	b := newBuilder(t)
	b.name(b.image(amd64, base, top), "app:1")
	b.name(b.image(amd64, base), "base:1")
	s := storetest.New(t, "vfs")
	loaded, err := load(t, s, b.dir(), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	images := []oci.Selected{{Image: string(loaded[0].ID)}, {Image: string(loaded[1].ID)}}
	tests := []struct {
		name string
		opts oci.SaveOptions
	}{
		{"oci gzip", oci.SaveOptions{Compression: archive.Gzip}},
		{"oci zstd", oci.SaveOptions{Format: oci.OCIArchive, Compression: archive.Zstd}},
		{"oci none", oci.SaveOptions{Format: oci.OCIArchive}},
		{"oci dir", oci.SaveOptions{Format: oci.OCIDir, Compression: archive.Gzip}},
		{"docker", oci.SaveOptions{Format: oci.DockerArchive}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out")
			if err := oci.SaveFile(t.Context(), s, path, images, tt.opts); err != nil {
				t.Fatal(err)
			}
			other := storetest.New(t, "vfs")
			got, err := load(t, other, path, oci.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 2 || got[0].ID != loaded[0].ID || got[1].ID != loaded[1].ID {
				t.Errorf("loaded %+v, saved %+v", got, loaded)
			}
			if again := other.Tars(t, "localhost/app:1"); !cmp.Equal(again, [][]byte{base, top}) {
				t.Error("the layers differ")
			}
			if tt.opts.Format == oci.OCIDir {
				return
			}
			second := filepath.Join(dir, "again")
			if err := oci.SaveFile(t.Context(), s, second, images, tt.opts); err != nil {
				t.Fatal(err)
			}
			one, err1 := os.ReadFile(path)
			two, err2 := os.ReadFile(second)
			if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
				t.Error("saving twice gives different archives")
			}
		})
	}
}

// TestSaveIntoALayoutFails: the index that is there names nothing that is not, whichever
// directory can not be flushed.
func TestSaveIntoALayoutFails(t *testing.T) {
	base, top := twoLayers(t)
	b := newBuilder(t)
	b.name(b.image(amd64, base), "base:1")
	b.name(b.image(amd64, base, top), "app:1")
	s := storetest.New(t, "vfs")
	loaded, err := load(t, s, b.dir(), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for skip := range 3 {
		dir := filepath.Join(t.TempDir(), "out")
		save := func(l oci.Loaded) error {
			return oci.SaveFile(t.Context(), s, dir, []oci.Selected{{Image: string(l.ID)}}, oci.SaveOptions{Format: oci.OCIDir})
		}
		if err := save(loaded[0]); err != nil {
			t.Fatal(err)
		}
		disable := faults.Enable(faults.Rule{Point: "atomicfile.syncdir", Under: dir, Skip: skip, Err: broken})
		err := save(loaded[1])
		disable()
		if !errors.Is(err, broken) {
			t.Errorf("directory %d: %v", skip, err)
		}
		if _, err := load(t, storetest.New(t, "vfs"), dir, oci.LoadOptions{}); err != nil {
			t.Errorf("after directory %d: %v", skip, err)
		}
	}
}

func TestSaveLeavesNothingBehind(t *testing.T) {
	base, _ := twoLayers(t)
	s := storetest.New(t, "vfs")
	if _, err := load(t, s, pack(t, dockerFiles(t, []string{"app:1"}, base), nil), oci.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		images []oci.Selected
		opts   oci.SaveOptions
		kind   error
	}{
		{"unknown image", []oci.Selected{{Image: "docker.io/library/app:1"}, {Image: "nope"}}, oci.SaveOptions{}, errdefs.ErrNotFound},
		{"compressed docker-archive", []oci.Selected{{Image: "docker.io/library/app:1"}}, oci.SaveOptions{Format: oci.DockerArchive, Compression: archive.Gzip}, errdefs.ErrInvalid},
		{"unknown image in a directory", []oci.Selected{{Image: "nope"}}, oci.SaveOptions{Format: oci.OCIDir}, errdefs.ErrNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := oci.SaveFile(t.Context(), s, filepath.Join(dir, "out"), tt.images, tt.opts); !errors.Is(err, tt.kind) {
				t.Errorf("error = %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestSaveNamesWithoutATag: a store may call an image whatever it likes, and a docker-archive
// has no place for all of that.
func TestSaveNamesWithoutATag(t *testing.T) {
	base, _ := twoLayers(t)
	s := storetest.New(t, "vfs")
	loaded, err := load(t, s, pack(t, dockerFiles(t, []string{"app:1"}, base), nil), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := string(loaded[0].ID)
	others := []string{"plain", "localhost:5000/port", "no reference:", "app@sha256:" + id}
	if _, err := s.AddNames(t.Context(), id, others); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out")
	if err := oci.SaveFile(t.Context(), s, path, []oci.Selected{{Image: id}}, oci.SaveOptions{Format: oci.DockerArchive}); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, storetest.New(t, "vfs"), path, oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if names := again[0].Names; !slices.Equal(names, []string{"docker.io/library/app:1"}) {
		t.Errorf("loaded as %q", names)
	}
}

// TestSaveIntoFIFO: what is no file is written to and stays what it is, also by way of a link.
func TestSaveIntoFIFO(t *testing.T) {
	base, _ := twoLayers(t)
	b := newBuilder(t)
	b.name(b.image(amd64, base), "base:1")
	s := storetest.New(t, "vfs")
	loaded, err := load(t, s, b.dir(), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	images := []oci.Selected{{Image: string(loaded[0].ID)}}
	dir := t.TempDir()
	file, fifo, link := filepath.Join(dir, "file"), filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	err = errors.Join(oci.SaveFile(t.Context(), s, file, images, oci.SaveOptions{}), unix.Mkfifo(fifo, 0o600), os.Symlink("fifo", link))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link} {
		reader, err := os.OpenFile(fifo, os.O_RDWR, 0) // so that nobody waits for a reader or for a writer
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		read := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(reader, got)
			read <- err
		}()
		if err := oci.SaveFile(t.Context(), s, path, images, oci.SaveOptions{}); err != nil {
			t.Error(err)
		}
		if info, err := os.Lstat(fifo); err != nil || info.Mode().Type() != os.ModeNamedPipe {
			t.Fatalf("%s has been replaced: %v, %v", fifo, info, err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
			t.Fatalf("%s has been replaced: %v, %v", link, info, err)
		}
		if err := errors.Join(<-read, reader.Close()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, equal: %v: %v", len(got), bytes.Equal(got, want), err)
		}
	}
}
