package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// env is what a case works with: an open driver in a root of its own, and calls that end
// the test when they fail.
type env struct {
	testing.TB
	suite Suite
	test  string // the test that called Run
	root  string
	d     graphdriver.Driver
}

func newEnv(t testing.TB, s Suite, test string) *env {
	e := &env{TB: t, suite: s, test: test, root: filepath.Join(t.TempDir(), "graph")}
	e.must(os.Mkdir(e.root, 0o700))
	t.Cleanup(func() { unmountBelow(t, e.root) })
	e.d = e.open()
	return e
}

// open opens the driver, as another process would.
func (e *env) open() graphdriver.Driver {
	e.Helper()
	d := e.suite.New(e.TB, e.root)
	e.Cleanup(func() {
		if err := d.Cleanup(context.WithoutCancel(e.Context())); err != nil {
			e.Errorf("clean up driver: %v", err)
		}
	})
	return d
}

// unmountBelow takes away what a failed case left mounted, so that its directory can go.
func unmountBelow(t testing.TB, root string) {
	for _, m := range mountsBelow(t, root) {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil {
			t.Logf("unmount %s: %v", m, err)
		}
	}
}

// mountsBelow lists mount points in root, innermost first.
func mountsBelow(t testing.TB, root string) []string {
	t.Helper()
	infos, err := mountapi.Table(mountinfo.PrefixFilter(root))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range infos {
		points = append(points, m.Mountpoint)
	}
	slices.Sort(points)
	slices.Reverse(points)
	return points
}

// power returns the driver as one of the optional interfaces; cases that use it declare the need.
func power[P any](e *env, d graphdriver.Driver) P {
	e.Helper()
	p, ok := d.(P)
	if !ok {
		e.Fatalf("driver %s is no %T", d.Name(), &p)
	}
	return p
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// wants checks that err is of the given kind.
func (e *env) wants(what string, err, kind error) {
	e.Helper()
	if !errors.Is(err, kind) {
		e.Errorf("%s: error %v, want %v", what, err, kind)
	}
}

func (e *env) create(id, parent graphdriver.ID) {
	e.Helper()
	e.must(e.d.Create(e.Context(), id, parent, graphdriver.CreateOptions{}))
}

// layer creates a layer and fills it.
func (e *env) layer(id, parent graphdriver.ID, entries ...testutil.Entry) {
	e.Helper()
	e.create(id, parent)
	e.apply(id, parent, testutil.Tar(e, entries...))
}

// apply unpacks a tar and returns the bytes that the driver counted.
func (e *env) apply(id, parent graphdriver.ID, diff []byte) int64 {
	e.Helper()
	n, err := e.d.ApplyDiff(e.Context(), id, parent, bytes.NewReader(diff), graphdriver.ApplyOptions{})
	e.must(err)
	return n
}

// mounted runs f on the merged tree.
func (e *env) mounted(id graphdriver.ID, f func(dir string)) {
	e.Helper()
	dir, err := e.d.Get(e.Context(), id, graphdriver.MountOptions{})
	e.must(err)
	f(dir)
	e.must(e.d.Put(e.Context(), id))
}

// tree dumps the merged tree without its root.
func (e *env) tree(id graphdriver.ID, opts ...testutil.TreeOption) (lines []string) {
	e.Helper()
	e.mounted(id, func(dir string) { lines = testutil.Tree(e, dir, append(opts, testutil.IgnoreRoot)...) })
	return lines
}

// diff reads a whole diff.
func (e *env) diff(id, parent graphdriver.ID) []byte {
	e.Helper()
	return e.diffMapped(id, parent, idmap.Mapping{})
}

func (e *env) diffMapped(id, parent graphdriver.ID, m idmap.Mapping) []byte {
	e.Helper()
	r, err := e.d.Diff(e.Context(), id, parent, graphdriver.DiffOptions{Mapping: m, ParentMapping: m})
	e.must(err)
	b, err := io.ReadAll(r)
	e.must(errors.Join(err, r.Close()))
	return b
}

// changes returns the list as the command line prints it.
func (e *env) changes(id, parent graphdriver.ID) []string {
	e.Helper()
	list, err := e.d.Changes(e.Context(), id, parent, graphdriver.DiffOptions{})
	e.must(err)
	return changeLines(list)
}

func changeLines(list []archive.Change) []string {
	lines := []string{}
	for _, c := range list {
		lines = append(lines, c.String())
	}
	return lines
}

// same compares two lists of lines.
func (e *env) same(what string, got, want []string) {
	e.Helper()
	if d := differences(want, got); d != "" {
		e.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// onDisk lists everything below the graph root, to show that a call left nothing. The
// directories that drivers make in their homes on first use are not counted, what is in them is.
func (e *env) onDisk() []string {
	e.Helper()
	var paths []string
	e.must(filepath.WalkDir(e.root, func(path string, _ fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, e.root)
		_, inHome, _ := strings.Cut(strings.TrimPrefix(rel, "/"), "/")
		if err == nil && !slices.Contains([]string{"dir", "l", "staging", "tempdirs"}, inHome) {
			paths = append(paths, rel)
		}
		return err
	}))
	return paths
}

// leavesNothing checks that f leaves nothing on disk and nothing mounted.
func (e *env) leavesNothing(f func()) {
	e.Helper()
	disk, mounts := e.onDisk(), mountsBelow(e, e.root)
	f()
	e.same("left on disk", e.onDisk(), disk)
	e.same("left mounted", mountsBelow(e, e.root), mounts)
}
