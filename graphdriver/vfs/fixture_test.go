package vfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// section returns the lines of one "== title" part of expected.txt.
func section(t *testing.T, path, title string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	_, rest, ok := strings.Cut(string(b), "== "+title+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, title)
	}
	rest, _, _ = strings.Cut(rest, "\n== ")
	return strings.Split(strings.TrimSpace(rest), "\n")
}

// TestStoreOfAnotherEngine opens layers that strata did not make.
func TestStoreOfAnotherEngine(t *testing.T) {
	testutil.RequireRoot(t)
	if rootless(t) {
		t.Skip("the fixture has foreign owners")
	}
	dir := t.TempDir()
	testutil.Unpack(t, "testdata/plain-vfs.tar.zst", dir)
	expected := filepath.Join(dir, "plain-vfs/expected.txt")
	d := open(t, filepath.Join(dir, "plain-vfs/graph"))
	var want []string
	for _, line := range section(t, expected, "diffs (sha256 of diff -u)") {
		want = append(want, strings.Fields(line)[0])
	}
	ids, err := d.(graphdriver.Lister).List(t.Context())
	must(t, err)
	if len(ids) < len(want) {
		t.Errorf("%d layers listed, want at least %d", len(ids), len(want))
	}
	for _, id := range want {
		if ok, err := d.Exists(t.Context(), graphdriver.ID(id)); !ok || err != nil {
			t.Errorf("layer %s: %v, %v", id, ok, err)
		}
	}
	const changed, top = "44541a677e7683d3448073fbf24a5f4e2c758630654dffb4317071b77d87fe4e", "b9a5fc7580f7faa3c7d847b2441b28727425a92c33bcb40d47a3951217b57a16"
	changes, err := d.Changes(t.Context(), changed, top, graphdriver.DiffOptions{})
	must(t, err)
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	if diff := cmp.Diff(section(t, expected, "changes of c-changed"), got); diff != "" {
		t.Errorf("changes (-the other engine's +ours):\n%s", diff)
	}
	fill(t, d, "child", top, graphdriver.CreateOptions{})
	a, b := treeOf(t, d, top), treeOf(t, d, "child")
	if len(b) != len(a)+1 {
		t.Errorf("child of %d objects has %d", len(a), len(b))
	}
}

func treeOf(t *testing.T, d graphdriver.Driver, id graphdriver.ID) []string {
	t.Helper()
	dir, err := d.Get(t.Context(), id, graphdriver.MountOptions{})
	must(t, err)
	return testutil.Tree(t, dir)
}

// TestDurable goes through a layer's life with syncing switched on.
func TestDurable(t *testing.T) {
	testutil.RequireRoot(t)
	d := open(t, t.TempDir(), func(c *graphdriver.Config) { c.Sync = graphdriver.SyncFilesystem })
	st, err := d.(graphdriver.Stager).Stage(t.Context(), "", graphdriver.CreateOptions{})
	must(t, err)
	must(t, st.Adopt(t.Context(), "base")) // syncs by itself
	must(t, st.Discard())
	fill(t, d, "child", "base", graphdriver.CreateOptions{})
	must(t, d.Remove(t.Context(), "child"))
}
