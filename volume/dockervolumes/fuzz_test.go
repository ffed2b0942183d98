package dockervolumes

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/volume"
)

// FuzzOptions: whatever a volume's opts.json holds harms that volume only, and what is
// read are options that Create knows.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", `{"MountType":"tmpfs","MountOpts":"size=1m","MountDevice":"tmpfs","Quota":{"Size":0}}`,
		`{"Quota":{"Size":18446744073709551615}}`, `{"Quota":{"Size":-1}}`, `{"MountType":1}`, `{"MountDevice":"/a"}`,
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	for _, name := range []string{"a/_data", "b/_data"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "a", "opts.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		volumes, err := readFolders(t.Context(), dir, nil)
		if err != nil || len(volumes) != 2 {
			t.Fatalf("%v, %v", volumes, err)
		}
		a, b := volumes[0], volumes[1]
		if b.Err != nil || b.Data == "" || b.Driver != volume.DefaultDriver {
			t.Fatalf("the other volume: %+v", b)
		}
		for key, value := range a.Options {
			switch key {
			case "type", "device", "o", "size":
			default:
				t.Fatalf("option %q", key)
			}
			if value == "" {
				t.Fatalf("option %q is empty", key)
			}
		}
		if a.Err == nil && a.Data == "" && a.Options["type"] == "" {
			t.Fatalf("neither data nor a mount: %+v", a)
		}
	})
}
