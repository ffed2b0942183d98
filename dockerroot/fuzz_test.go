package dockerroot_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/layer"
)

// FuzzDatabase: whatever the files of Docker's database hold, the root opens, the image that is whole is
// there under its name, and none is of use whose documents or layers do not verify.
func FuzzDatabase(f *testing.F) {
	diff := string(digest.FromString("layer"))
	config := `{"created":"2024-05-06T07:08:09Z","rootfs":{"type":"layers","diff_ids":["` + diff + `"]}}`
	f.Add(`{"Repositories":{"app":{"app:1":"`+string(digest.FromString("x"))+`"}}}`, config, diff, "", cacheID("a"), "10")
	f.Add(`{"Repositories":{"..":{"../x":"sha256:00"}}}`, `{"rootfs":{"diff_ids":[""]}}`, "sha256:../..", diff, "../../etc", "-1")
	f.Add("{", "null", "", "", "", "")
	f.Add(`{"Repositories":null}`, `{"rootfs":[],"created":1}`, diff+"\n", "\x00", cacheID("a")+"\n", "9223372036854775808")
	whole := []byte(`{"rootfs":{"type":"layers","diff_ids":[]}}`)
	f.Fuzz(func(t *testing.T, repositories, config, diff, parent, cache, size string) {
		dir := t.TempDir()
		db := filepath.Join(dir, "image", "overlay2")
		name := digest.FromString("any").Encoded()
		if d := digest.Digest(diff); d.Validate() == nil && d.Algorithm() == digest.SHA256 {
			name = digest.Digest(layer.ChainID(parent).Child(layer.DiffID(diff))).Encoded()
		}
		id := digest.FromString(config)
		for path, text := range map[string]string{
			"repositories.json":                                           repositories,
			"imagedb/content/sha256/" + id.Encoded():                      config,
			"imagedb/content/sha256/" + digest.FromBytes(whole).Encoded(): string(whole),
			"imagedb/metadata/sha256/" + id.Encoded() + "/parent":         parent,
			"imagedb/metadata/sha256/" + id.Encoded() + "/lastUpdated":    size,
			"layerdb/sha256/" + name + "/diff":                            diff,
			"layerdb/sha256/" + name + "/parent":                          parent,
			"layerdb/sha256/" + name + "/cache-id":                        cache,
			"layerdb/sha256/" + name + "/size":                            size,
			"layerdb/sha256/" + name + "/tar-split.json.gz":               size,
		} {
			path = filepath.Join(db, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := dockerroot.Open(dir, dockerroot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, img := range r.Images(true) {
			if img.ID == digest.FromBytes(whole) && img.Err != nil {
				t.Fatalf("the image that is whole: %v", img.Err)
			}
			src, err := r.Source(t.Context(), img.ID)
			if err == nil && img.Err != nil {
				t.Fatalf("%s is of no use (%v), and can be read", img.ID, img.Err)
			}
			if err == nil {
				_ = src.Close() // nothing is held open
			}
		}
	})
}
