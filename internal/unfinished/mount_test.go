package unfinished_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/unfinished"
)

// TestMountNote: the last line counts, a cut one does not, and a draft is nothing to hurry for.
func TestMountNote(t *testing.T) {
	dir := t.TempDir()
	m := unfinished.Mount{Layer: "l", Boot: "b", Into: true, Writer: "1-2-3"}
	n := begin(t, dir, unfinished.Change{Driver: "vfs", Mount: &m})
	m.Step = unfinished.Mounted
	if err := n.Add(unfinished.Change{Mount: &m}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(n.Path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"driver":"vfs","mount":{"lay`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := unfinished.Left{Change: unfinished.Change{Driver: "vfs", Mount: &m}}
	if diff := cmp.Diff([]unfinished.Left{want}, list(t, dir, "vfs")); diff != "" {
		t.Error(diff)
	}
	left, err := unfinished.Find(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	for _, draft := range []bool{false, true} {
		if err := unfinished.Append(left, unfinished.Change{Draft: draft}); err != nil {
			t.Fatal(err)
		}
		if pending, err := unfinished.Pending(dir, "vfs"); err != nil || pending == draft {
			t.Errorf("draft %t: pending %t, %v", draft, pending, err)
		}
	}
	want.Draft = true
	if diff := cmp.Diff([]unfinished.Left{want}, list(t, dir, "vfs")); diff != "" {
		t.Error(diff)
	}
}
