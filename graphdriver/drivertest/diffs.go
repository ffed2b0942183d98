package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func diffCases() []testCase {
	return []testCase{
		{name: "diff: of a changed mount", run: diffOfChangedMount},
		{name: "diff: apply gives the same tree and diff", run: diffApplies},
		{name: "diff: owners, devices and capabilities", needs: []need{needsOwners}, run: diffPrivileged},
		{name: "diff: order and repeat", run: diffOrder},
		{name: "diff: against an ancestor and nothing", run: diffAncestor},
		{name: "diff: against itself", run: diffItself},
		{name: "diff: re-made directory", run: diffRemade},
		{name: "diff: closed early", run: diffClosedEarly},
		{name: "diff: cancelled", run: diffCancelled},
		{name: "diff getter", needs: []need{needsDiffGetter}, run: diffGetter},
	}
}

// names lists the entries of a tar.
func (e *env) names(diff []byte) []string {
	e.Helper()
	names := []string{}
	for tr := tar.NewReader(bytes.NewReader(diff)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		e.must(err)
		names = append(names, h.Name)
	}
}

// changed makes "child" on "base" with changes of all kinds.
func (e *env) changed() {
	e.Helper()
	e.populated()
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		e.in(dir,
			removeAll("dir"), mkdir("dir"), writeFile("dir/b", "2"), // replaced: dir/a and dir/sub are gone
			writeFile("file", strings.Repeat("long ", 5000)),
			removeAll("keep"), writeFile("keep", "now a file"),
			removeAll("link"), mkdir("link"), writeFile("link/f", "now a directory"),
			mkdir("empty"), writeFile("hard", "linked"), mkdir("z"),
		)
		e.must(os.Link(at("hard"), at("z/hard2")))
		e.must(os.Symlink("../x", at("z/sym")))
		e.must(unix.Mkfifo(at("z/fifo"), 0o600))
		e.must(unix.Setxattr(at("z/hard2"), "user.note", []byte("\x00raw"), 0))
		e.must(os.Chmod(at("empty"), fs.ModeSticky|0o777))
		for n, name := range []string{"z/sym", "z/fifo", "hard", "z", "empty", "link/f", "link", "dir/b", "dir", "file", "keep"} {
			times := []unix.Timespec{{Sec: 1}, unix.NsecToTimespec(stamp(n).UnixNano())}
			e.must(unix.UtimesNanoAt(unix.AT_FDCWD, at(name), times, unix.AT_SYMLINK_NOFOLLOW))
		}
	})
}

func diffOfChangedMount(e *env) {
	e.changed()
	before := mountsBelow(e, e.root)
	diff := e.diff("child", "base")
	e.same("left mounted", mountsBelow(e, e.root), before)
	want := []string{
		"dir/", "dir/.wh.a", "dir/.wh.sub", "dir/b", "empty/", "file", "hard", "keep", "link/", "link/f", "z/", "z/fifo", "z/hard2", "z/sym",
	}
	got := e.names(diff)
	slices.Sort(got)
	e.same("entries", got, want)
	e.get(e.d, "child")
	if !bytes.Equal(e.diff("child", "base"), diff) {
		e.Error("the diff of the mounted layer differs")
	}
	e.must(e.d.Put(e.Context(), "child"))
}

// applied applies the diff of layer id to a new layer on the same parent and checks that the two are
// the same, as trees and as diffs. Computed diffs have times in whole seconds.
func (e *env) applied(id, parent graphdriver.ID) {
	e.Helper()
	diff := e.diff(id, parent)
	again := id + "-on-" + parent
	e.create(again, parent)
	e.apply(again, parent, diff)
	e.same("tree of "+string(again), e.tree(again, testutil.CoarseMtime), e.tree(id, testutil.CoarseMtime))
	if got := e.diff(again, parent); !bytes.Equal(got, diff) {
		e.Errorf("diff of %s is not the one that was applied:\n%q\n%q", again, e.names(got), e.names(diff))
	}
	e.same("changes", e.changes(again, parent), e.changes(id, parent))
}

func diffApplies(e *env) {
	e.changed()
	e.applied("base", "")
	e.applied("child", "base")
	e.applied("child", "")
}

func diffPrivileged(e *env) {
	e.populated()
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		e.must(unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		e.must(unix.Mknod(at("disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(8, 1))))
		e.must(os.Lchown(at("link"), 12, 13))
		e.must(os.Chown(at("dir"), 14, 15))
		e.must(os.Chown(at("file"), 1<<21, 1<<22)) // beyond what seven octal digits hold
		e.must(unix.Chmod(at("file"), 0o6711))
		e.must(unix.Setxattr(at("file"), "security.capability", []byte(capability), 0))
	})
	e.same("changes", e.changes("child", "base"),
		[]string{`Modify "/dir"`, `Add "/disk"`, `Modify "/file"`, `Modify "/link"`, `Add "/null"`})
	e.applied("child", "base")
}

// diffOrder: computed diffs are reproducible.
func diffOrder(e *env) {
	e.changed()
	first := e.diff("child", "base")
	if !bytes.Equal(first, e.diff("child", "base")) {
		e.Error("two diffs of one layer differ")
	}
	seen := map[string]bool{}
	for _, name := range e.names(first) {
		clean := strings.TrimSuffix(name, "/")
		if seen[clean] || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") {
			e.Errorf("entry %q", name)
		}
		seen[clean] = true
		if parent := filepath.Dir(clean); parent != "." && !seen[parent] {
			e.Errorf("%q comes before its directory", name)
		}
	}
}

func diffAncestor(e *env) {
	e.layer("l1", "", testutil.Entry{Name: "a", Body: "1"}, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/b", Body: "1"})
	e.layer("l2", "l1", testutil.Entry{Name: "c", Body: "1"}, testutil.Entry{Name: ".wh.a"})
	e.layer("l3", "l2", testutil.Entry{Name: "d/.wh.b"}, testutil.Entry{Name: "e", Body: "1"})
	e.create("copy", "l1")
	e.apply("copy", "l1", e.diff("l3", "l1"))
	e.same("l3 by way of its diff against l1", e.tree("copy", testutil.CoarseMtime), e.tree("l3", testutil.CoarseMtime))
	e.create("flat", "")
	e.apply("flat", "", e.diff("l3", ""))
	e.same("l3 by way of its whole tree", e.tree("flat", testutil.CoarseMtime), e.tree("l3", testutil.CoarseMtime))
}

// diffItself: a layer differs in nothing from itself, alone or on another, mounted or not.
func diffItself(e *env) {
	e.populated()
	e.create("child", "base")
	e.mounted("child", func(dir string) { e.in(dir, writeFile("new", "2"), removeAll("keep")) })
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.differsInNothing(id)
		e.mounted(id, func(string) { e.differsInNothing(id) })
	}
}

func (e *env) differsInNothing(id graphdriver.ID) {
	e.Helper()
	e.same("entries of "+string(id)+" against itself", e.names(e.diff(id, id)), []string{})
	e.same("changes of "+string(id)+" against itself", e.changes(id, id), []string{})
	size, err := e.d.DiffSize(e.Context(), id, id, graphdriver.DiffOptions{})
	e.must(err)
	if size != 0 {
		e.Errorf("size of %s against itself: %d", id, size)
	}
}

// diffRemade: a directory that was removed in one layer and made again hides its old content in
// the tar, too.
func diffRemade(e *env) {
	e.populated()
	e.layer("l2", "base", testutil.Entry{Name: ".wh.dir"})
	e.create("l3", "l2")
	e.mounted("l3", func(dir string) { e.in(dir, mkdir("dir"), writeFile("dir/new", "3")) })
	e.same("changes where it was gone", e.changes("l3", "l2"), []string{`Add "/dir"`, `Add "/dir/new"`})
	e.applied("l3", "l2")
	e.create("r2", "base")
	e.mounted("r2", func(dir string) { e.in(dir, removeAll("dir"), mkdir("dir"), writeFile("dir/new", "3")) })
	e.applied("r2", "base")
	e.mounted("r2-on-base", func(dir string) { e.wantNames(filepath.Join(dir, "dir"), "new") })
}

func diffClosedEarly(e *env) {
	e.layer("base", "")
	e.create("child", "base")
	e.apply("child", "base", bigTar(e))
	for _, parent := range []graphdriver.ID{"base", ""} {
		before := mountsBelow(e, e.root)
		for _, n := range []int64{0, 1, 10_000} {
			r, err := e.d.Diff(e.Context(), "child", parent, graphdriver.DiffOptions{})
			e.must(err)
			_, err = io.CopyN(io.Discard, r, n)
			e.must(errors.Join(err, r.Close(), r.Close()))
		}
		e.same("left mounted", mountsBelow(e, e.root), before)
	}
}

func diffCancelled(e *env) {
	e.create("base", "")
	e.create("child", "base")
	e.apply("child", "base", bigTar(e))
	before := mountsBelow(e, e.root)
	ctx, cancel := context.WithCancel(e.Context())
	r, err := e.d.Diff(ctx, "child", "base", graphdriver.DiffOptions{})
	e.must(err)
	_, err = io.CopyN(io.Discard, r, 1000)
	e.must(err)
	cancel()
	if _, err = io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		e.Errorf("reading after the cancel: %v", err)
	}
	e.must(r.Close())
	_, err = e.d.Changes(ctx, "child", "base", graphdriver.DiffOptions{})
	e.wants("changes", err, context.Canceled)
	e.same("left mounted", mountsBelow(e, e.root), before)
}

func diffGetter(e *env) {
	entries := []testutil.Entry{
		{Name: "a", Body: "first"}, {Name: "d/"}, {Name: "./d/b", Body: strings.Repeat("second", 10_000)},
		{Name: "d/hard", Type: tar.TypeLink, Link: "a"}, {Name: "out", Link: "/etc"}, {Name: "passwd", Link: "/etc/passwd"}, {Name: "empty"},
	}
	e.layer("base", "", entries...)
	e.layer("child", "base", testutil.Entry{Name: "a", Body: "changed"})
	g, err := power[graphdriver.DiffGetter](e, e.d).DiffGetter(e.Context(), "base")
	e.must(err)
	for _, en := range entries {
		if en.Body == "" {
			continue
		}
		r, err := g.Get(en.Name)
		e.must(err)
		b, err := io.ReadAll(r)
		e.must(errors.Join(err, r.Close()))
		if string(b) != en.Body {
			e.Errorf("%s: got %d bytes, want %d", en.Name, len(b), len(en.Body))
		}
	}
	for _, name := range []string{"nothing", "out/passwd", "passwd", "d", "../graph", "/etc/passwd"} {
		if r, err := g.Get(name); err == nil {
			e.Errorf("%s: opened", name)
			e.must(r.Close())
		}
	}
	_, err = g.Get("nothing")
	e.wants("get nothing", err, fs.ErrNotExist)
	e.must(g.Close())
}
