package overlay

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// must ends the test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// root is a graph root with nothing mounted in it when the test has ended.
func root(t testing.TB) string {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	t.Cleanup(func() { unmountBelow(t, dir) })
	return dir
}

func unmountBelow(t testing.TB, dir string) {
	for _, m := range mountsBelow(t, dir) {
		if err := mountapi.Detach(m); err != nil {
			t.Log(err)
		}
	}
}

func mountsBelow(t testing.TB, dir string) []string {
	t.Helper()
	infos, err := mountapi.Table(mountinfo.PrefixFilter(dir))
	must(t, err)
	points := []string{}
	for _, m := range infos {
		points = append(points, m.Mountpoint)
	}
	slices.Sort(points)
	slices.Reverse(points)
	return points
}

// unpack unpacks a fixture and returns its graph root.
func unpack(t *testing.T, name string) string {
	t.Helper()
	dir := root(t)
	testutil.Unpack(t, filepath.Join("testdata", name+".tar.zst"), dir)
	return filepath.Join(dir, name, "graph")
}

// layer makes a layer out of entries.
func layer(t testing.TB, d graphdriver.Driver, id, parent graphdriver.ID, entries ...testutil.Entry) {
	t.Helper()
	must(t, d.Create(t.Context(), id, parent, graphdriver.CreateOptions{}))
	_, err := d.ApplyDiff(t.Context(), id, parent, bytes.NewReader(testutil.Tar(t, entries...)), graphdriver.ApplyOptions{})
	must(t, err)
}

// tree dumps a layer as it looks when it is mounted.
func tree(t testing.TB, d graphdriver.Driver, id graphdriver.ID, opts ...testutil.TreeOption) (lines []string) {
	t.Helper()
	mounted(t, d, id, graphdriver.MountOptions{}, func(dir string) {
		lines = testutil.Tree(t, dir, append(opts, testutil.IgnoreRoot)...)
	})
	return lines
}

// mounted runs f on the mounted layer.
func mounted(t testing.TB, d graphdriver.Driver, id graphdriver.ID, opts graphdriver.MountOptions, f func(dir string)) {
	t.Helper()
	dir, err := d.Get(t.Context(), id, opts)
	must(t, err)
	defer func() { must(t, d.Put(t.Context(), id)) }()
	f(dir)
}

// names lists the files below dir with their types, as "path" or "path/" or "path@".
func names(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	for _, line := range testutil.Tree(t, dir, testutil.IgnoreRoot) {
		found = append(found, strings.Join(strings.Fields(line)[:2], " "))
	}
	return found
}

func changes(t testing.TB, d graphdriver.Driver, id, parent graphdriver.ID) []string {
	t.Helper()
	list, err := d.Changes(t.Context(), id, parent, graphdriver.DiffOptions{})
	must(t, err)
	lines := []string{}
	for _, c := range list {
		lines = append(lines, c.String())
	}
	return lines
}

func diff(t testing.TB, d graphdriver.Driver, id, parent graphdriver.ID) []byte {
	t.Helper()
	r, err := d.Diff(t.Context(), id, parent, graphdriver.DiffOptions{})
	must(t, err)
	b, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return b
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// mountpoint tells what the kernel says.
func mountpoint(t testing.TB, path string) bool {
	t.Helper()
	is, err := mountapi.IsMountPoint(path)
	must(t, err)
	return is
}
