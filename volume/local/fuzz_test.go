package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzSavedOptions: whatever a volume's opts.json holds harms that volume only.
func FuzzSavedOptions(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", `{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}`,
		`{"Quota":{"Size":-1}}`, `{"MountType":"","MountDevice":"/"}`, `{"MountOpts":["a"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		root := t.TempDir()
		for _, name := range []string{"bad/_data", "good/_data"} {
			if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "bad", optsFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := New(t.Context(), Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = d.Get(t.Context(), "bad") // an error, or the volume
		_, goodErr := d.Get(t.Context(), "good")
		infos, listErr := d.List(t.Context())
		if err := errors.Join(goodErr, listErr); err != nil || len(infos) == 0 || infos[len(infos)-1].Name != "good" {
			t.Fatalf("%+v, %v", infos, err)
		}
	})
}
