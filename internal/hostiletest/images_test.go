package hostiletest

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dockerArchive is an archive of one image, with parts of it replaced: a manifest's
// members, and files by their name (nil: left out).
func dockerArchive(t *testing.T, manifest map[string]any, files map[string]*testutil.Entry) []byte {
	t.Helper()
	layer := testutil.Tar(t, file("f"))
	config := asJSON(t, map[string]any{
		"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": []string{testutil.Digest(layer).String()}},
	})
	m := map[string]any{"Config": "config.json", "RepoTags": []string{"localhost/x:latest"}, "Layers": []string{"layer.tar"}}
	for key, value := range manifest {
		m[key] = value
	}
	parts := map[string]*testutil.Entry{
		"layer.tar":     {Name: "layer.tar", Body: string(layer)},
		"config.json":   {Name: "config.json", Body: config},
		"manifest.json": {Name: "manifest.json", Body: asJSON(t, []any{m})},
	}
	for name, e := range files {
		parts[name] = e
	}
	var list entries
	for _, name := range []string{"layer.tar", "config.json", "extra", "manifest.json"} {
		if e := parts[name]; e != nil {
			list = append(list, *e)
		}
	}
	return testutil.Tar(t, list...)
}

// TestHostileDockerArchives: names in a manifest lead to entries of the archive only,
// and nothing of a refused image stays.
func TestHostileDockerArchives(t *testing.T) {
	one := func(e testutil.Entry) map[string]*testutil.Entry {
		return map[string]*testutil.Entry{e.Name: &e}
	}
	tests := []struct {
		name     string
		manifest map[string]any
		files    map[string]*testutil.Entry
	}{
		{"layer outside", map[string]any{"Layers": []string{"../outside/secret"}}, nil},
		{"absolute layer", map[string]any{"Layers": []string{"/etc/passwd"}}, nil},
		{"configuration outside", map[string]any{"Config": "../outside/secret"}, nil},
		{"absolute configuration", map[string]any{"Config": "/etc/passwd"}, nil},
		{"layer that is a link to outside", nil, one(testutil.Entry{Name: "layer.tar", Link: "/etc/passwd"})},
		{"layer that is a link to itself", nil, one(testutil.Entry{Name: "layer.tar", Link: "layer.tar"})},
		{"layer that is a hard link to outside", nil, one(testutil.Entry{Name: "layer.tar", Type: tar.TypeLink, Link: "../outside/secret"})},
		{"layer that is a directory", nil, one(testutil.Entry{Name: "layer.tar", Type: tar.TypeDir})},
		{"layer that is a FIFO", nil, one(testutil.Entry{Name: "layer.tar", Type: tar.TypeFifo})},
		{"layer that is not there", nil, map[string]*testutil.Entry{"layer.tar": nil}},
		{"layer with another digest", nil, one(testutil.Entry{Name: "layer.tar", Body: "other"})},
		{"a layer more than diff IDs", map[string]any{"Layers": []string{"layer.tar", "layer.tar"}}, nil},
		{"no layer at all", map[string]any{"Layers": []string{}}, nil},
		{"a million layers", map[string]any{"Layers": strings.Split(strings.Repeat("layer.tar ", 1000000), " ")}, nil},
		{"configuration that is no JSON", nil, one(testutil.Entry{Name: "config.json", Body: "{"})},
		{"huge configuration", nil, one(testutil.Entry{Name: "config.json", Body: `{"x":"` + strings.Repeat("x", 64*mib) + `"}`})},
		{"deep configuration", nil, one(testutil.Entry{Name: "config.json", Body: strings.Repeat("[", 1000000)})},
		{"manifest that is a link", nil, one(testutil.Entry{Name: "manifest.json", Link: "/etc/passwd"})},
		{"name with ..", map[string]any{"RepoTags": []string{"../../x:latest"}}, nil},
	}
	each(t, func(t *testing.T, driver string) {
		s := newTarget(t, driver)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				path := s.store("image.tar", dockerArchive(t, tt.manifest, tt.files))
				r := s.strata(nil, "load", path)
				if r.code == 0 {
					t.Errorf("loaded: %s", r.stdout)
					s.must("delete-image", firstWord(r.stdout))
				}
				r.refused(t, r.code, "error: ")
				r.within(t, mostMemory)
			})
		}
		s.clean(0, 0)
	})
}

// TestHostileLayouts: digests in a layout become paths, and its files may be links.
func TestHostileLayouts(t *testing.T) {
	index := func(digest string, size int64) string {
		return asJSON(t, map[string]any{"schemaVersion": 2, "manifests": []map[string]any{
			{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size},
		}})
	}
	manifest := func(config, layer string) string {
		return asJSON(t, map[string]any{
			"schemaVersion": 2, "config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 10},
			"layers": []map[string]any{{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 10}},
		})
	}
	zero := "sha256:" + strings.Repeat("0", 64)
	tests := []struct {
		name  string
		files map[string]string // contents; "-> X" is a link
	}{
		{"digest upwards", map[string]string{"index.json": index("sha256:../../../outside/secret", 8)}},
		{"algorithm upwards", map[string]string{"index.json": index("../../../outside:"+strings.Repeat("0", 64), 8)}},
		{"short digest", map[string]string{"index.json": index("sha256:00", 8)}},
		{"negative size", map[string]string{"index.json": index(zero, -1)}},
		{"huge size", map[string]string{"index.json": index(zero, 1<<62), "blobs/sha256/" + strings.Repeat("0", 64): "x"}},
		{"index that is a link", map[string]string{"index.json": "-> ../outside/secret"}},
		{"blob that is a link", map[string]string{"index.json": index(zero, 8), "blobs/sha256/" + strings.Repeat("0", 64): "-> ../../../outside/secret"}},
		{"blobs that are a link", map[string]string{"index.json": index(zero, 8), "blobs": "-> ../outside"}},
		{"index that is no JSON", map[string]string{"index.json": "["}},
		{"index without images", map[string]string{"index.json": "{}"}},
		{"manifest with digests upwards", nil},
	}
	s := newTarget(t, "overlay")
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(s.dir, "layout", string(rune('a'+i)))
			files := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
			if tt.files == nil {
				m := manifest("sha256:../../outside/secret", "sha256:../../../../etc/passwd")
				d := testutil.Digest([]byte(m))
				tt.files = map[string]string{"index.json": index(d.String(), int64(len(m))), "blobs/sha256/" + d.Encoded(): m}
			}
			for name, text := range tt.files {
				files[name] = text
			}
			for name, text := range files {
				path := filepath.Join(dir, name)
				err := os.MkdirAll(filepath.Dir(path), 0o755)
				if link, ok := strings.CutPrefix(text, "-> "); ok {
					err = errors.Join(err, os.Symlink(link, path))
				} else {
					err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r := s.strata(nil, "load", dir)
			if r.code == 0 {
				t.Errorf("loaded: %s", r.stdout)
			}
			r.refused(t, r.code, "error: ")
			r.within(t, mostMemory)
			if strings.Contains(r.stderr+r.stdout, treasure) {
				t.Errorf("what is outside was read: %s", r.stderr)
			}
		})
	}
	s.clean(0, 0)
}
