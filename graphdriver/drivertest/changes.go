package drivertest

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func changesCases() []testCase {
	return []testCase{
		{name: "changes: none", run: changesNone},
		{name: "changes: every kind", run: changesEveryKind},
		{name: "changes: attributes", run: changesAttributes},
		{name: "changes: owners", needs: []need{needsOwners}, run: changesOwners},
		{name: "changes: same size and time", run: changesSameSizeAndTime},
		{name: "changes: against an ancestor and nothing", run: changesAncestor},
		{name: "changes: of unknown layers", run: changesUnknown},
		{name: "diff size", run: diffSize},
	}
}

func (e *env) in(dir string, steps ...func(path string) error) {
	e.Helper()
	for _, s := range steps {
		e.must(s(dir))
	}
}

func writeFile(name, content string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644) }
}

func mkdir(name string) func(string) error {
	return func(dir string) error { return os.Mkdir(filepath.Join(dir, name), 0o755) }
}

func removeAll(name string) func(string) error {
	return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
}

func chtimes(name string, at time.Time) func(string) error {
	return func(dir string) error { return os.Chtimes(filepath.Join(dir, name), at, at) }
}

func changesNone(e *env) {
	e.populated()
	e.create("child", "base")
	e.same("new layer", e.changes("child", "base"), []string{})
	e.mounted("child", func(dir string) { // looking is no change
		_, err := os.ReadFile(filepath.Join(dir, "dir/sub/deep"))
		e.must(err)
		e.in(dir, mkdir("tmp"), removeAll("tmp"))
	})
	e.same("after looking", e.changes("child", "base"), []string{})
	if n := len(e.diff("child", "base")); n != 1024 {
		e.Errorf("diff of no changes has %d bytes, want the 1024 of an end marker", n)
	}
}

// changesEveryKind has the rules of cli-reference, 8.2.
func changesEveryKind(e *env) {
	e.populated()
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		e.in(dir,
			writeFile("file", "changed"),                                // root directory is never listed
			removeAll("dir/sub"),                                        // only the top of a removed tree
			mkdir("new"), mkdir("new/sub"), writeFile("new/sub/f", "1"), // every level of a new one
			writeFile("keep/y", "1"), // its directory is modified
			removeAll("link"),
		)
	})
	want := []string{
		`Modify "/dir"`, `Delete "/dir/sub"`, `Modify "/file"`, `Modify "/keep"`, `Add "/keep/y"`,
		`Delete "/link"`, `Add "/new"`, `Add "/new/sub"`, `Add "/new/sub/f"`,
	}
	e.same("changes", e.changes("child", "base"), want)
	e.get(e.d, "child")
	e.same("changes of a mounted layer", e.changes("child", "base"), want)
	e.must(e.d.Put(e.Context(), "child"))
}

// changesAttributes: one attribute at a time, each on its own file.
func changesAttributes(e *env) {
	var entries []testutil.Entry
	for _, name := range []string{"chmod", "mtime", "xattr", "content", "untouched", "target"} {
		entries = append(entries, testutil.Entry{Name: name, Body: "1", Mtime: stamp(1), Xattrs: map[string]string{"user.old": "1"}})
	}
	entries = append(entries, testutil.Entry{Name: "l", Link: "target", Mtime: stamp(1)}, testutil.Entry{Name: "d/", Mtime: stamp(1)})
	e.layer("base", "", entries...)
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		at := func(name string) string { return filepath.Join(dir, name) }
		e.must(os.Chmod(at("chmod"), 0o600))
		e.in(dir, chtimes("mtime", stamp(2)), writeFile("content", "2"))
		e.must(unix.Setxattr(at("xattr"), "user.old", []byte("2"), 0))
		e.must(os.Remove(at("l")))
		e.must(os.Symlink("untouched", at("l")))
		e.must(os.Chmod(at("d"), 0o700))
		// Opening for writing copies the file up, and changes nothing.
		f, err := os.OpenFile(at("untouched"), os.O_RDWR, 0)
		e.must(err)
		e.must(f.Close())
	})
	e.same("changes", e.changes("child", "base"), []string{
		`Modify "/chmod"`, `Modify "/content"`, `Modify "/d"`, `Modify "/l"`, `Modify "/mtime"`, `Modify "/xattr"`,
	})
}

func changesOwners(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "cap", Body: "1"}, testutil.Entry{Name: "chown", Body: "1"},
		testutil.Entry{Name: "dropped", Body: "1", Xattrs: map[string]string{"security.capability": capability}})
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		e.must(unix.Setxattr(filepath.Join(dir, "cap"), "security.capability", []byte(capability), 0))
		e.must(os.Chown(filepath.Join(dir, "chown"), 0, 5))
		e.must(unix.Removexattr(filepath.Join(dir, "dropped"), "security.capability"))
	})
	e.same("changes", e.changes("child", "base"), []string{`Modify "/cap"`, `Modify "/chown"`, `Modify "/dropped"`})
}

// changesSameSizeAndTime: archives have whole seconds, so an equal time proves nothing.
func changesSameSizeAndTime(e *env) {
	whole := time.Unix(1_600_000_000, 0)
	e.layer("base", "", testutil.Entry{Name: "a", Body: "old", Mtime: whole}, testutil.Entry{Name: "b", Body: "old", Mtime: whole})
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		e.in(dir, writeFile("a", "new"), chtimes("a", whole), writeFile("b", "old"), chtimes("b", whole))
	})
	e.same("changes", e.changes("child", "base"), []string{`Modify "/a"`})
}

func changesAncestor(e *env) {
	e.layer("l1", "", testutil.Entry{Name: "a", Body: "1"}, testutil.Entry{Name: "b", Body: "1"})
	e.layer("l2", "l1", testutil.Entry{Name: "c", Body: "1"}, testutil.Entry{Name: ".wh.a"})
	e.layer("l3", "l2", testutil.Entry{Name: "d", Body: "1"}, testutil.Entry{Name: ".wh.c"})
	e.same("l3 against l1", e.changes("l3", "l1"), []string{`Delete "/a"`, `Add "/d"`})
	e.same("l3 against nothing", e.changes("l3", ""), []string{`Add "/b"`, `Add "/d"`})
	e.same("l1 against l3", e.changes("l1", "l3"), []string{`Add "/a"`, `Delete "/d"`})
	e.layer("other", "", testutil.Entry{Name: "b", Body: "1"}, testutil.Entry{Name: "x", Body: "1"})
	e.same("against a stranger", e.changes("l2", "other"), []string{`Add "/c"`, `Delete "/x"`})
}

func changesUnknown(e *env) {
	e.create("base", "")
	e.leavesNothing(func() {
		for _, ids := range [][2]graphdriver.ID{{"nobody", ""}, {"nobody", "base"}, {"base", "nobody"}} {
			_, err := e.d.Changes(e.Context(), ids[0], ids[1], graphdriver.DiffOptions{})
			e.wants("changes", err, errdefs.ErrNotFound)
			_, err = e.d.DiffSize(e.Context(), ids[0], ids[1], graphdriver.DiffOptions{})
			e.wants("diff size", err, errdefs.ErrNotFound)
			r, err := e.d.Diff(e.Context(), ids[0], ids[1], graphdriver.DiffOptions{})
			if err == nil {
				_, err = r.Read(make([]byte, 1)) // the answer may come with the stream
				e.must(r.Close())
			}
			e.wants("diff", err, errdefs.ErrNotFound)
		}
	})
}

func diffSize(e *env) {
	e.layer("base", "", testutil.Entry{Name: "a", Body: "12345"}, testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/b", Body: "123"})
	e.create("child", "base")
	size := func(id, parent graphdriver.ID) int64 {
		n, err := e.d.DiffSize(e.Context(), id, parent, graphdriver.DiffOptions{})
		e.must(err)
		return n
	}
	if n := size("child", "base"); n != 0 {
		e.Errorf("new layer: %d, want 0", n)
	}
	e.mounted("child", func(dir string) {
		e.in(dir, writeFile("a", "1234567"), removeAll("d"), writeFile("new", "1234567890"), mkdir("empty"))
		e.must(os.Link(filepath.Join(dir, "new"), filepath.Join(dir, "new2"))) // one inode, one count
		e.must(os.Symlink("somewhere", filepath.Join(dir, "l")))
	})
	for _, tt := range []struct {
		id, parent graphdriver.ID
		want       int64
	}{{"child", "base", 17}, {"base", "", 8}, {"child", "", 17}, {"base", "child", 8}} {
		if n := size(tt.id, tt.parent); n != tt.want {
			e.Errorf("size of %s against %q: %d, want %d", tt.id, tt.parent, n, tt.want)
		}
	}
}
