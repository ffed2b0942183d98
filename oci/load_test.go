package oci_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/oci"
)

func load(t *testing.T, s *storetest.Store, path string, opts oci.LoadOptions) ([]oci.Loaded, error) {
	t.Helper()
	src, err := oci.Open(t.Context(), path, nil, oci.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return oci.Load(t.Context(), s, src, opts)
}

func TestLoadEveryForm(t *testing.T) {
	base, top := twoLayers(t)
	layout := newBuilder(t)
	layout.name(layout.image(amd64, base, top), "example.org/app:1")
	docker := dockerFiles(t, []string{"example.org/app:1"}, base, top)
	compressed := map[string][]byte{}
	for name, data := range docker {
		if strings.HasSuffix(name, "layer.tar") {
			data = gzipped(t, data)
		}
		compressed[name] = data
	}
	zstd := func(t *testing.T, data []byte) []byte {
		var buf bytes.Buffer
		w, err := archive.Compress(&buf, archive.Zstd)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	tests := []struct{ name, path string }{
		{"OCI layout", layout.dir()},
		{"OCI archive", pack(t, layout.files(), nil)},
		{"OCI archive, gzip", pack(t, layout.files(), gzipped)},
		{"OCI archive, zstd", pack(t, layout.files(), zstd)},
		{"docker-archive", pack(t, docker, nil)},
		{"docker-archive, gzip", pack(t, docker, gzipped)},
		{"docker-archive with compressed layers", pack(t, compressed, nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := storetest.New(t, "vfs")
			loaded, err := load(t, s, tt.path, oci.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(loaded) != 1 || loaded[0].NewLayers != 2 || !cmp.Equal(loaded[0].Names, []string{"example.org/app:1"}) {
				t.Fatalf("loaded %+v", loaded)
			}
			if got := s.Tars(t, "example.org/app:1"); !cmp.Equal(got, [][]byte{base, top}) {
				t.Error("the layers' bytes differ from what was loaded")
			}
			again, err := load(t, s, tt.path, oci.LoadOptions{})
			if err != nil || again[0].ID != loaded[0].ID || again[0].ReusedLayers != 2 || again[0].NewLayers != 0 || !again[0].Existed {
				t.Errorf("loaded again: %+v, %v", again, err)
			}
		})
	}
}

func TestLoadStream(t *testing.T) {
	base, top := twoLayers(t)
	f, err := os.Open(pack(t, dockerFiles(t, []string{"app:1"}, base, top), gzipped))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := storetest.New(t, "vfs")
	src, err := oci.Open(t.Context(), "-", f, oci.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if _, err := oci.Load(t.Context(), s, src, oci.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(t.Context(), "docker.io/library/app:1"); err != nil {
		t.Error(err)
	}
}

func TestLoadSeveralImagesAndPlatforms(t *testing.T) {
	base, top := twoLayers(t)
	own := v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	other := v1.Platform{OS: "linux", Architecture: "s390x"}
	b := newBuilder(t)
	b.name(b.index(b.image(other, top), b.image(own, base)), "multi:1")
	b.name(b.image(own, base, top), "two:1")
	s := storetest.New(t, "vfs")
	if _, err := load(t, s, b.dir(), oci.LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.Tars(t, "localhost/multi:1"); !cmp.Equal(got, [][]byte{base}) {
		t.Error("multi:1 is not the image of the own platform")
	}
	if got := s.Tars(t, "localhost/two:1"); !cmp.Equal(got, [][]byte{base, top}) {
		t.Error("two:1 has other layers")
	}
	img, err := s.Image(t.Context(), "localhost/multi:1")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(img.Digests()); n != 2 {
		t.Errorf("%d digests find the image, want those of manifest and index", n)
	}
	if _, err := load(t, s, b.dir(), oci.LoadOptions{Platform: v1.Platform{OS: "linux", Architecture: "riscv64"}}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("a platform that is not there: %v", err)
	}
	if _, err := load(t, s, b.dir(), oci.LoadOptions{Names: []string{"localhost/x:1"}}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("one name for two images: %v", err)
	}
}

// TestLoadNameMoves: the name that another image has goes to the new one.
func TestLoadNameMoves(t *testing.T) {
	base, top := twoLayers(t)
	s := storetest.New(t, "vfs")
	first, err := load(t, s, pack(t, dockerFiles(t, []string{"app:1"}, base), nil), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := load(t, s, pack(t, dockerFiles(t, []string{"app:1"}, base, top), nil), oci.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(t.Context(), "docker.io/library/app:1")
	if err != nil || img.ID != second[0].ID {
		t.Errorf("the name belongs to %s, %v; want %s", img.ID, err, second[0].ID)
	}
	if img, err := s.Image(t.Context(), string(first[0].ID)); err != nil || len(img.Names) != 0 {
		t.Errorf("the first image has the names %v, %v", img.Names, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	base, top := twoLayers(t)
	good := func() *builder {
		b := newBuilder(t)
		b.name(b.image(amd64, base, top), "app:1")
		return b
	}
	withFiles := func(change func(files map[string][]byte)) string {
		files := good().files()
		change(files)
		return pack(t, files, nil)
	}
	blobOf := func(files map[string][]byte, contains string) string {
		for name, data := range files {
			if strings.HasPrefix(name, "blobs/") && bytes.Contains(data, []byte(contains)) {
				return name
			}
		}
		t.Fatalf("no blob contains %q", contains)
		return ""
	}
	layerBlob := func(files map[string][]byte) string {
		for name, data := range files {
			if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
				return name
			}
		}
		t.Fatal("no layer blob")
		return ""
	}
	truncated := func(at int) string {
		path := pack(t, good().files(), nil)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data[:at], 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrongDiff := func() string {
		files := dockerFiles(t, []string{"app:1"}, base)
		for name := range files {
			if strings.HasSuffix(name, "layer.tar") {
				files[name] = top
			}
		}
		return pack(t, files, nil)
	}
	tests := []struct {
		name string
		path string
		kind error
		want string
	}{
		{"no such file", filepath.Join(t.TempDir(), "none"), os.ErrNotExist, "none"},
		{"no image archive", pack(t, map[string][]byte{"a": nil}, nil), errdefs.ErrInvalid, "neither an OCI archive"},
		{"tar cut in a header", truncated(100), errdefs.ErrCorrupt, "image archive"},
		{"tar cut in a file", truncated(600), errdefs.ErrCorrupt, "image archive"},
		{"tar cut between files", truncated(1024), errdefs.ErrCorrupt, "image archive"},
		{"index that is no JSON", withFiles(func(f map[string][]byte) { f["index.json"] = []byte("{") }), errdefs.ErrCorrupt, "index.json"},
		{"layout version", withFiles(func(f map[string][]byte) { f["oci-layout"] = []byte(`{"imageLayoutVersion":"9"}`) }), errdefs.ErrUnsupported, `version "9"`},
		{"layer blob missing", withFiles(func(f map[string][]byte) { delete(f, layerBlob(f)) }), errdefs.ErrCorrupt, "is missing"},
		{"layer blob altered", withFiles(func(f map[string][]byte) {
			name := layerBlob(f)
			data := bytes.Clone(f[name])
			data[len(data)/2] ^= 0x10
			f[name] = data
		}), errdefs.ErrCorrupt, "layer sha256:"},
		{"layer blob cut", withFiles(func(f map[string][]byte) {
			name := layerBlob(f)
			f[name] = f[name][:len(f[name])-20]
		}), errdefs.ErrCorrupt, "its descriptor says"},
		{"configuration altered", withFiles(func(f map[string][]byte) {
			name := blobOf(f, `"rootfs"`)
			f[name] = bytes.Replace(f[name], []byte("amd64"), []byte("amd46"), 1)
		}), errdefs.ErrCorrupt, "has the digest"},
		{"diff ID of another layer", wrongDiff(), errdefs.ErrCorrupt, "sha256:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := storetest.New(t, "vfs")
			_, err := load(t, s, tt.path, oci.LoadOptions{})
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want one with %q", err, tt.want)
			}
			images, err := s.Images(t.Context())
			if err != nil || len(images) != 0 {
				t.Errorf("images left: %v, %v", images, err)
			}
		})
	}
}

func TestLoadCancelled(t *testing.T) {
	base, top := twoLayers(t)
	b := newBuilder(t)
	b.name(b.image(amd64, base, top), "app:1")
	s := storetest.New(t, "vfs")
	src, err := oci.OpenLayout(b.dir())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := oci.Load(ctx, s, src, oci.LoadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}
