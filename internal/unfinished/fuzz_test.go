package unfinished_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/internal/unfinished"
)

// FuzzNote: whatever a note holds keeps nobody from the others, and what one writer wrote before
// is read as it was.
func FuzzNote(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"driver":"vfs","layers":["a"],"uses":["b"]}`, `{"driver":"vfs"`, `{"driver":1}`, "null\n[]\n",
		`{"driver":"vfs","items":[{"Kind":"image","ID":"../x","Key":"..","Size":-1}]}`, `{"driver":"overlay","draft":true}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		n := begin(t, dir, unfinished.Change{Driver: "vfs", Layers: []string{"mine"}})
		defer n.Close()
		first := []byte(`{"driver":"vfs","layers":["first"]}` + "\n")
		if err := os.WriteFile(filepath.Join(dir, "note"), append(first, text...), 0o600); err != nil {
			t.Fatal(err)
		}
		left, err := unfinished.List(dir, "vfs")
		if err != nil {
			t.Fatal(err)
		}
		alive := 0
		for _, l := range left {
			switch {
			case l.Alive && (len(l.Layers) != 1 || l.Layers[0] != "mine"):
				t.Fatalf("the live note says %q", l.Layers)
			case l.Alive:
				alive++
			case len(l.Layers) == 0 || l.Layers[0] != "first":
				t.Fatalf("the other note says %q", l.Layers)
			}
		}
		if alive != 1 {
			t.Fatalf("%d live notes of %d", alive, len(left))
		}
	})
}
