package drivertest

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/internal/testutil"
)

func whiteoutCases() []testCase {
	return []testCase{
		{name: "apply: whiteouts", run: applyWhiteouts},
		{name: "apply: opaque directory", run: applyOpaque},
		{name: "apply: opaque after content", run: applyOpaqueLate},
		{name: "apply: type changes", run: applyTypeChanges},
		{name: "apply: whiteout, then again", run: applyReappear},
	}
}

// wantNames checks the names in one directory of the merged tree.
func (e *env) wantNames(dir string, want ...string) {
	e.Helper()
	entries, err := os.ReadDir(dir)
	e.must(err)
	got := []string{}
	for _, en := range entries {
		got = append(got, en.Name())
	}
	e.same("names in "+filepath.Base(dir), got, append([]string{}, want...))
}

func (e *env) populated() {
	e.Helper()
	e.layer("base", "",
		testutil.Entry{Name: "file", Body: "1"},
		testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/a", Body: "1"},
		testutil.Entry{Name: "dir/sub/"}, testutil.Entry{Name: "dir/sub/deep", Body: "1"},
		testutil.Entry{Name: "link", Link: "dir"},
		testutil.Entry{Name: "keep/"}, testutil.Entry{Name: "keep/x", Body: "1"},
	)
}

func applyWhiteouts(e *env) {
	e.populated()
	e.layer("child", "base",
		testutil.Entry{Name: ".wh.file"},
		testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/.wh.sub"},
		testutil.Entry{Name: "dir/.wh.never-was"},
		testutil.Entry{Name: ".wh.link"},
	)
	e.mounted("child", func(dir string) {
		e.wantNames(dir, "dir", "keep")
		e.wantNames(filepath.Join(dir, "dir"), "a")
	})
	e.layer("grandchild", "child", testutil.Entry{Name: ".wh.dir"}, testutil.Entry{Name: "keep/.wh.x"})
	e.mounted("grandchild", func(dir string) {
		e.wantNames(dir, "keep")
		e.wantNames(filepath.Join(dir, "keep"))
	})
	e.mounted("base", func(dir string) { e.wantNames(dir, "dir", "file", "keep", "link") })
}

func applyOpaque(e *env) {
	e.populated()
	e.layer("child", "base",
		testutil.Entry{Name: "dir/", Mode: 0o700}, testutil.Entry{Name: "dir/.wh..wh..opq"},
		testutil.Entry{Name: "dir/new", Body: "2"},
		testutil.Entry{Name: "keep/.wh..wh..opq"},
	)
	e.mounted("child", func(dir string) {
		e.wantNames(filepath.Join(dir, "dir"), "new")
		e.wantNames(filepath.Join(dir, "keep"))
	})
	e.layer("grandchild", "child", testutil.Entry{Name: "dir/more", Body: "3"})
	e.mounted("grandchild", func(dir string) { e.wantNames(filepath.Join(dir, "dir"), "more", "new") })
}

// applyOpaqueLate: the mark hides what lower layers have, wherever it stands in the tar.
func applyOpaqueLate(e *env) {
	e.populated()
	e.layer("child", "base",
		testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/new", Body: "2"}, testutil.Entry{Name: "dir/sub/"},
		testutil.Entry{Name: "dir/sub/mine", Body: "2"}, testutil.Entry{Name: "dir/.wh..wh..opq"},
	)
	e.mounted("child", func(dir string) {
		e.wantNames(filepath.Join(dir, "dir"), "new", "sub")
		e.wantNames(filepath.Join(dir, "dir/sub"), "mine")
	})
}

func applyTypeChanges(e *env) {
	e.populated()
	e.layer("child", "base",
		testutil.Entry{Name: "dir", Body: "now a file"},
		testutil.Entry{Name: "file/"}, testutil.Entry{Name: "file/in", Body: "now a directory"},
		testutil.Entry{Name: "link/"}, testutil.Entry{Name: "link/in", Body: "was a link"},
		testutil.Entry{Name: "keep", Link: "file"},
	)
	e.layer("grandchild", "child",
		testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/again", Body: "3"},
		testutil.Entry{Name: "link", Type: tar.TypeFifo},
	)
	e.mounted("child", func(dir string) {
		e.wantNames(dir, "dir", "file", "keep", "link")
		for name, mode := range map[string]fs.FileMode{"dir": 0, "file": fs.ModeDir, "link": fs.ModeDir, "keep": fs.ModeSymlink} {
			fi, err := os.Lstat(filepath.Join(dir, name))
			e.must(err)
			if fi.Mode().Type() != mode {
				e.Errorf("%s is %v, want %v", name, fi.Mode().Type(), mode)
			}
		}
		e.wantNames(filepath.Join(dir, "link"), "in")
	})
	e.mounted("grandchild", func(dir string) {
		e.wantNames(filepath.Join(dir, "dir"), "again") // nothing of the first one comes back
		if fi, err := os.Lstat(filepath.Join(dir, "link")); err != nil || fi.Mode().Type() != fs.ModeNamedPipe {
			e.Errorf("link: %v, %v", fi, err)
		}
	})
}

// applyReappear: a name that one layer deletes and the next makes again shows only the new.
func applyReappear(e *env) {
	e.populated()
	e.layer("l2", "base", testutil.Entry{Name: ".wh.dir"}, testutil.Entry{Name: ".wh.file"})
	e.layer("l3", "l2", testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/b", Body: "3"}, testutil.Entry{Name: "file", Body: "3"})
	e.mounted("l2", func(dir string) {
		if _, err := os.Lstat(filepath.Join(dir, "dir")); !errors.Is(err, fs.ErrNotExist) {
			e.Errorf("dir in l2: %v", err)
		}
	})
	e.mounted("l3", func(dir string) { e.wantNames(filepath.Join(dir, "dir"), "b") })
	e.same("changes of l3", e.changes("l3", "l2"), []string{`Add "/dir"`, `Add "/dir/b"`, `Add "/file"`})
}
