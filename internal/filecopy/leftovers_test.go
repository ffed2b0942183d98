package filecopy_test

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/filecopy"
)

// TestLeftovers: those of the dead at any depth, and nothing else.
func TestLeftovers(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, dir+"/a/b/file", "x", 0o644)
	want := []string{leftover(t, dir, false), "a/b/" + leftover(t, dir+"/a/b", false)}
	tree := leftover(t, dir+"/a", false)
	must(t, os.Remove(dir+"/a/"+tree))
	write(t, dir+"/a/"+tree+"/sub/"+tree, "x", 0o600) // goes with its directory
	foreign := ".strata-copy-1-2-3-ABCDEFGH"
	write(t, dir+"/a/"+foreign, "x", 0o600)
	want = append(want, "a/"+tree)

	leftover(t, dir+"/a", true)
	leftover(t, outside, false)
	must(t, os.Symlink(outside, dir+"/link"))
	for _, name := range []string{".strata-copy-", ".strata-copy-of-mine", foreign + "2", leftover(t, t.TempDir(), false) + "x"} {
		write(t, dir+"/"+name, "mine", 0o600)
	}
	for writer, want := range map[string][]string{
		"": want, "1-2-33": want, "1-2-3": append(slices.Clone(want), "a/"+foreign), filecopy.Writer(): want,
	} {
		got, err := filecopy.Leftovers(open(t, dir), writer)
		must(t, err)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("writer %q: %s", writer, diff)
		}
	}
}
