package oci_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/internal/testutil"
)

// builder collects the blobs of a made-up image layout.
type builder struct {
	t         *testing.T
	blobs     map[digest.Digest][]byte
	manifests []v1.Descriptor
}

func newBuilder(t *testing.T) *builder {
	return &builder{t: t, blobs: map[digest.Digest][]byte{}}
}

func (b *builder) json(v any) []byte {
	b.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

func (b *builder) blob(mediaType string, data []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	b.blobs[d.Digest] = data
	return d
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// image adds the blobs of an image of gzip layers and returns its manifest's descriptor.
func (b *builder) image(platform v1.Platform, layers ...[]byte) v1.Descriptor {
	b.t.Helper()
	config := v1.Image{Platform: platform, RootFS: v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{}}
	m.SchemaVersion = 2
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
		m.Layers = append(m.Layers, b.blob(v1.MediaTypeImageLayerGzip, gzipped(b.t, l)))
	}
	m.Config = b.blob(v1.MediaTypeImageConfig, b.json(config))
	d := b.blob(v1.MediaTypeImageManifest, b.json(m))
	d.Platform = &platform
	return d
}

// index adds an index of manifests.
func (b *builder) index(manifests ...v1.Descriptor) v1.Descriptor {
	b.t.Helper()
	idx := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: manifests}
	idx.SchemaVersion = 2
	return b.blob(v1.MediaTypeImageIndex, b.json(idx))
}

// name lists d in the layout's own index under name.
func (b *builder) name(d v1.Descriptor, name string) {
	if name != "" {
		d.Annotations = map[string]string{v1.AnnotationRefName: name}
	}
	b.manifests = append(b.manifests, d)
}

// files are the layout's files by name.
func (b *builder) files() map[string][]byte {
	b.t.Helper()
	idx := v1.Index{Manifests: b.manifests}
	idx.SchemaVersion = 2
	files := map[string][]byte{
		v1.ImageLayoutFile: []byte(`{"imageLayoutVersion":"1.0.0"}`),
		v1.ImageIndexFile:  b.json(idx),
	}
	for d, data := range b.blobs {
		files["blobs/sha256/"+d.Encoded()] = data
	}
	return files
}

func (b *builder) dir() string {
	b.t.Helper()
	dir := b.t.TempDir()
	for name, data := range b.files() {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	return dir
}

// pack writes files as a tar; pass data through wrap before writing.
func pack(t *testing.T, files map[string][]byte, wrap func(*testing.T, []byte) []byte) string {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		data := files[name]
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	data := buf.Bytes()
	if wrap != nil {
		data = wrap(t, data)
	}
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// dockerFiles are the files of a docker-archive with one image of the layers.
func dockerFiles(t *testing.T, tags []string, layers ...[]byte) map[string][]byte {
	t.Helper()
	b := newBuilder(t)
	config := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, RootFS: v1.RootFS{Type: "layers"}}
	files := map[string][]byte{}
	var names []string
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(l))
		name := digest.FromBytes(l).Encoded() + "/layer.tar"
		files[name] = l
		names = append(names, name)
	}
	text := b.json(config)
	name := digest.FromBytes(text).Encoded() + ".json"
	files[name] = text
	files["manifest.json"] = b.json([]map[string]any{{"Config": name, "RepoTags": tags, "Layers": names}})
	return files
}

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

// twoLayers are a base and a change on top of it.
func twoLayers(t *testing.T) (base, top []byte) {
	t.Helper()
	base = testutil.Tar(t,
		testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/hello", Body: "hello\n"}, testutil.Entry{Name: "etc/gone", Body: "x"},
		testutil.Entry{Name: "bin/"}, testutil.Entry{Name: "bin/a", Body: "program", Mode: 0o755})
	top = testutil.Tar(t, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/.wh.gone"}, testutil.Entry{Name: "etc/new", Body: "new\n"})
	return base, top
}
