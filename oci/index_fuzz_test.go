package oci_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/oci"
)

// FuzzIndexes: whatever the index of an archive or layout says, opening it and
// reading all that it lists ends, and never leads to a file that is not of it.
func FuzzIndexes(f *testing.F) {
	f.Add([]byte(`[{"Config":"config.json","RepoTags":["a:b"],"Layers":["layer.tar"]}]`), []byte(`{"rootfs":{"diff_ids":["sha256:`+testutil.Digest(nil).Encoded()+`"]}}`), true)
	f.Add([]byte(`[{"Config":"../secret","Layers":["/etc/passwd","../secret"]}]`), []byte(`{}`), true)
	f.Add([]byte(`[null,{}]`), []byte(`null`), true)
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:`+testutil.Digest([]byte("{}")).Encoded()+`","size":2}]}`), []byte(`{}`), false)
	f.Add([]byte(`{"manifests":[{"digest":"sha256:../../secret","size":6},{"digest":"../../secret:00","size":6}]}`), []byte(`{}`), false)
	f.Fuzz(func(t *testing.T, index, blob []byte, docker bool) {
		dir := t.TempDir()
		write := func(name string, data []byte) string {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		write("secret", []byte("secret"))
		var path string
		if docker {
			path = write("archive", testutil.Tar(t, testutil.Entry{Name: "manifest.json", Body: string(index)},
				testutil.Entry{Name: "config.json", Body: string(blob)}, testutil.Entry{Name: "layer.tar", Body: string(blob)}))
		} else {
			write("layout/oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
			write("layout/blobs/sha256/"+testutil.Digest(blob).Encoded(), blob)
			path = filepath.Dir(write("layout/index.json", index))
		}
		readAll(t, path)
	})
}

// readAll reads all blobs of a source's images that can be read.
func readAll(t *testing.T, path string) {
	t.Helper()
	src, err := oci.Open(t.Context(), path, nil, oci.OpenOptions{TempDir: t.TempDir()})
	if err != nil {
		return
	}
	defer src.Close()
	images, err := src.Images(t.Context())
	if err != nil {
		return
	}
	for _, i := range images {
		var m v1.Manifest
		if json.Unmarshal(readBlob(t, src, i.Descriptor), &m) != nil {
			continue
		}
		for _, d := range append(m.Layers, m.Config) {
			readBlob(t, src, d)
		}
	}
}

// readBlob returns what there is of a blob.
func readBlob(t *testing.T, src oci.Source, d v1.Descriptor) []byte {
	t.Helper()
	r, err := src.Blob(t.Context(), d)
	if err != nil {
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if string(data) == "secret" {
		t.Errorf("what is outside is read through %v", d.Digest)
	}
	if err != nil {
		return nil
	}
	return data
}
