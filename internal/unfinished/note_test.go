package unfinished_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/unfinished"
)

func begin(t *testing.T, dir string, c unfinished.Change) *unfinished.Note {
	t.Helper()
	n, err := unfinished.Begin(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func list(t *testing.T, dir, driver string) []unfinished.Left {
	t.Helper()
	left, err := unfinished.List(dir, driver)
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i].Path = ""
	}
	return left
}

func TestNote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "strata", "unfinished")
	if got := list(t, dir, "overlay"); got != nil {
		t.Fatalf("no directory: %v", got)
	}
	c := unfinished.Change{Driver: "overlay", Layers: []string{"a"}}
	n := begin(t, dir, c)
	more := unfinished.Change{Driver: "overlay", Uses: []string{"b"}, Items: []unfinished.Item{{Kind: "image", ID: "i", Key: "k", Digest: "d", Size: 3}}}
	if err := n.Add(more); err != nil {
		t.Fatal(err)
	}
	c.Uses, c.Items = more.Uses, more.Items
	if diff := cmp.Diff([]unfinished.Left{{Change: c, Alive: true}}, list(t, dir, "overlay")); diff != "" {
		t.Error(diff)
	}
	if got := list(t, dir, "vfs"); got != nil {
		t.Errorf("another driver's: %v", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]unfinished.Left{{Change: c}}, list(t, dir, "overlay")); diff != "" {
		t.Errorf("after its writer's end: %s", diff)
	}
	left, err := unfinished.List(dir, "overlay")
	if err != nil {
		t.Fatal(err)
	}
	if err := unfinished.Forget(left[0]); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir, "overlay"); got != nil {
		t.Errorf("forgotten: %v", got)
	}
}

func TestDone(t *testing.T) {
	dir := t.TempDir()
	n := begin(t, dir, unfinished.Change{Driver: "vfs"})
	for range 2 {
		if err := n.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Add(unfinished.Change{}); err == nil {
		t.Error("a note that is over can be added to")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestCutLineCountsForNothing(t *testing.T) {
	dir := t.TempDir()
	text := `{"driver":"vfs","layers":["a"]}` + "\n" + `{"driver":"vfs","layers":["b`
	if err := os.WriteFile(filepath.Join(dir, "note"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []unfinished.Left{{Change: unfinished.Change{Driver: "vfs", Layers: []string{"a"}}}}
	if diff := cmp.Diff(want, list(t, dir, "vfs")); diff != "" {
		t.Error(diff)
	}
}
