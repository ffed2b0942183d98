package drivertest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func entryCases() []testCase {
	return []testCase{
		{name: "apply: types", run: applyTypes},
		{name: "apply: owners", needs: []need{needsOwners}, run: applyOwners},
		{name: "apply: devices", needs: []need{needsOwners}, run: applyDevices},
		{name: "apply: modes", run: applyModes},
		{name: "apply: times", run: applyTimes},
		{name: "apply: hard links", run: applyHardLinks},
		{name: "apply: extended attributes", run: applyXattrs},
		{name: "apply: file capabilities", needs: []need{needsOwners}, run: applyCapabilities},
		{name: "apply: missing parents", run: applyMissingParents},
		{name: "apply: odd names", run: applyOddNames},
		{name: "apply: size", run: applySize},
		{name: "apply: nothing", run: applyNothing},
		{name: "apply: onto a parent's tree", run: applyOntoParent},
		{name: "apply: mapped owners", needs: []need{needsOwners}, run: applyMapped},
	}
}

// stamp is a time with nanoseconds; n makes several.
func stamp(n int) time.Time { return time.Date(2021, 3, 4, 5, 6, n, 123456000+n, time.UTC) }

// capability is cap_net_bind_service in the kernel's version 2 form (capabilities(7)).
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// facts are the parts of a file that a case states.
type facts struct {
	kind    uint32 // S_IFREG etc.
	mode    uint32
	uid     uint32
	gid     uint32
	mtime   time.Time // zero: any
	content string    // of files; target of links; "major:minor" of devices
}

// wantFile checks one path of a merged tree.
func (e *env) wantFile(dir, name string, want facts) {
	e.Helper()
	path := filepath.Join(dir, name)
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		e.Errorf("%s: %v", name, err)
		return
	}
	got := facts{kind: st.Mode & unix.S_IFMT, mode: st.Mode & 0o7777, uid: st.Uid, gid: st.Gid}
	if got.kind == unix.S_IFLNK {
		got.mode = want.mode // means nothing
	}
	if !want.mtime.IsZero() {
		got.mtime = time.Unix(st.Mtim.Unix()).UTC()
	}
	if want.content != "" {
		got.content = e.content(path, &st)
	}
	if got != want {
		e.Errorf("%s: got %+v, want %+v", name, got, want)
	}
}

func (e *env) content(path string, st *unix.Stat_t) string {
	e.Helper()
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		b, err := os.ReadFile(path)
		e.must(err)
		return string(b)
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		e.must(err)
		return target
	default:
		return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	}
}

func applyTypes(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "dir/", Mtime: stamp(1)},
		testutil.Entry{Name: "dir/file", Body: "content", Mode: 0o640, Mtime: stamp(2)},
		testutil.Entry{Name: "dir/empty", Mtime: stamp(3)},
		testutil.Entry{Name: "link", Link: "dir/file", Mtime: stamp(4)},
		testutil.Entry{Name: "dangling", Link: "/no/such/../place", Mtime: stamp(5)},
		testutil.Entry{Name: "dir/hard", Type: tar.TypeLink, Link: "dir/file", Mode: 0o640, Mtime: stamp(2)},
		testutil.Entry{Name: "fifo", Type: tar.TypeFifo, Mode: 0o620, Mtime: stamp(6)},
	)
	e.mounted("base", func(dir string) {
		e.wantFile(dir, "dir", facts{kind: unix.S_IFDIR, mode: 0o755, mtime: stamp(1)})
		e.wantFile(dir, "dir/file", facts{kind: unix.S_IFREG, mode: 0o640, mtime: stamp(2), content: "content"})
		e.wantFile(dir, "dir/empty", facts{kind: unix.S_IFREG, mode: 0o644, mtime: stamp(3)})
		e.wantFile(dir, "link", facts{kind: unix.S_IFLNK, mtime: stamp(4), content: "dir/file"})
		e.wantFile(dir, "dangling", facts{kind: unix.S_IFLNK, mtime: stamp(5), content: "/no/such/../place"})
		e.wantFile(dir, "dir/hard", facts{kind: unix.S_IFREG, mode: 0o640, mtime: stamp(2), content: "content"})
		e.wantFile(dir, "fifo", facts{kind: unix.S_IFIFO, mode: 0o620, mtime: stamp(6)})
	})
}

func applyOwners(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "d/", UID: 1, GID: 2},
		testutil.Entry{Name: "f", UID: 1000, GID: 2000000, Body: "x"},
		testutil.Entry{Name: "l", Link: "nowhere", UID: 3, GID: 4},
		testutil.Entry{Name: "p", Type: tar.TypeFifo, UID: 5, GID: 6},
	)
	e.mounted("base", func(dir string) {
		e.wantFile(dir, "d", facts{kind: unix.S_IFDIR, mode: 0o755, uid: 1, gid: 2})
		e.wantFile(dir, "f", facts{kind: unix.S_IFREG, mode: 0o644, uid: 1000, gid: 2000000})
		e.wantFile(dir, "l", facts{kind: unix.S_IFLNK, uid: 3, gid: 4})
		e.wantFile(dir, "p", facts{kind: unix.S_IFIFO, mode: 0o644, uid: 5, gid: 6})
	})
}

func applyDevices(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666, Mtime: stamp(1)},
		testutil.Entry{Name: "big", Type: tar.TypeBlock, Major: 259, Minor: 70000, Mode: 0o600, GID: 6},
	)
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			e.wantFile(dir, "null", facts{kind: unix.S_IFCHR, mode: 0o666, mtime: stamp(1), content: "1:3"})
			e.wantFile(dir, "big", facts{kind: unix.S_IFBLK, mode: 0o600, gid: 6, content: "259:70000"})
		})
	}
}

func applyModes(e *env) {
	modes := []uint32{0, 0o400, 0o777, 0o4755, 0o2755, 0o1777, 0o7111, 0o7000}
	var entries []testutil.Entry
	for _, m := range modes {
		// With type bits, as old tars have them; they also tell the builder that 0 is meant.
		entries = append(entries,
			testutil.Entry{Name: fmt.Sprintf("f%o", m), Mode: unix.S_IFREG | int64(m)},
			testutil.Entry{Name: fmt.Sprintf("d%o/", m), Mode: unix.S_IFDIR | int64(m)})
	}
	e.layer("base", "", entries...)
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			for _, m := range modes {
				e.wantFile(dir, fmt.Sprintf("f%o", m), facts{kind: unix.S_IFREG, mode: m})
				e.wantFile(dir, fmt.Sprintf("d%o", m), facts{kind: unix.S_IFDIR, mode: m})
			}
		})
	}
}

// applyTimes: nanoseconds, before 1970, far in the future, and directories, whose times come
// last; in the layer itself and seen through a child.
func applyTimes(e *env) {
	times := map[string]time.Time{
		"ns": stamp(7), "whole": time.Unix(1_600_000_000, 0).UTC(), "epoch": time.Unix(0, 0).UTC(),
		"one": time.Unix(0, 1).UTC(), "before": time.Unix(-1_000_000, 500).UTC(), "far": time.Unix(4_300_000_000, 0).UTC(),
	}
	var entries []testutil.Entry
	for name, at := range times {
		entries = append(entries,
			testutil.Entry{Name: name + "/", Mtime: at},
			testutil.Entry{Name: name + "/f", Mtime: at, Body: "x"},
			testutil.Entry{Name: name + "/sub/", Mtime: at},
			testutil.Entry{Name: name + "/l", Link: "f", Mtime: at})
	}
	e.layer("base", "", entries...)
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			for name, at := range times {
				e.wantFile(dir, name, facts{kind: unix.S_IFDIR, mode: 0o755, mtime: at})
				e.wantFile(dir, name+"/f", facts{kind: unix.S_IFREG, mode: 0o644, mtime: at})
				e.wantFile(dir, name+"/sub", facts{kind: unix.S_IFDIR, mode: 0o755, mtime: at})
				e.wantFile(dir, name+"/l", facts{kind: unix.S_IFLNK, mtime: at})
			}
		})
	}
}

func applyHardLinks(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "a", Body: "1"},
		testutil.Entry{Name: "z/"},
		testutil.Entry{Name: "z/b", Type: tar.TypeLink, Link: "a"},
		testutil.Entry{Name: "c", Type: tar.TypeLink, Link: "./z/b"},
		testutil.Entry{Name: "sym", Link: "a"},
		testutil.Entry{Name: "symhard", Type: tar.TypeLink, Link: "sym"},
		testutil.Entry{Name: "alone", Body: "1"},
	)
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			e.wantLinks(dir, 3, "a", "c", "z/b")
			e.wantLinks(dir, 2, "sym", "symhard")
			e.wantLinks(dir, 1, "alone")
		})
	}
}

// wantLinks checks that names are all names of one inode.
func (e *env) wantLinks(dir string, count uint64, names ...string) {
	e.Helper()
	var first unix.Stat_t
	for i, name := range names {
		var st unix.Stat_t
		e.must(unix.Lstat(filepath.Join(dir, name), &st))
		if i == 0 {
			first = st
		}
		if st.Ino != first.Ino || st.Dev != first.Dev || uint64(st.Nlink) != count { //nolint:unconvert // 32 bits on arm64
			e.Errorf("%s: inode %d, %d links; want %d, %d", name, st.Ino, st.Nlink, first.Ino, count)
		}
	}
}

func applyXattrs(e *env) {
	big := strings.Repeat("x", 3000)
	e.layer("base", "",
		testutil.Entry{Name: "d/", Xattrs: map[string]string{"user.dir": "on a directory"}, Mode: 0o500},
		testutil.Entry{Name: "f", Mode: 0o400, Xattrs: map[string]string{"user.a": "1", "user.empty": "", "user.raw": "\x00\xff\n=", "user.big": big}},
	)
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			e.wantXattr(dir, "d", "user.dir", "on a directory")
			e.wantXattr(dir, "f", "user.a", "1")
			e.wantXattr(dir, "f", "user.empty", "")
			e.wantXattr(dir, "f", "user.raw", "\x00\xff\n=")
			e.wantXattr(dir, "f", "user.big", big)
		})
	}
}

func (e *env) wantXattr(dir, name, attr, want string) {
	e.Helper()
	buf := make([]byte, 1<<16)
	n, err := unix.Lgetxattr(filepath.Join(dir, name), attr, buf)
	if err != nil || string(buf[:n]) != want {
		e.Errorf("%s: %s = %q, %v; want %q", name, attr, buf[:max(n, 0)], err, want)
	}
}

// applyCapabilities: changing the owner drops capabilities and set-ID bits, so owner, mode and
// capability have to come in the right order.
func applyCapabilities(e *env) {
	e.layer("base", "", testutil.Entry{
		Name: "ping", Mode: 0o6755, UID: 5, GID: 6, Body: "elf", Xattrs: map[string]string{"security.capability": capability},
	})
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		e.mounted(id, func(dir string) {
			e.wantFile(dir, "ping", facts{kind: unix.S_IFREG, mode: 0o6755, uid: 5, gid: 6, content: "elf"})
			e.wantXattr(dir, "ping", "security.capability", capability)
		})
	}
}

func applyMissingParents(e *env) {
	e.layer("base", "", testutil.Entry{Name: "a/b/c/f", Body: "1", Mtime: stamp(1)})
	e.mounted("base", func(dir string) {
		for _, d := range []string{"a", "a/b", "a/b/c"} {
			e.wantFile(dir, d, facts{kind: unix.S_IFDIR, mode: 0o755})
		}
		e.wantFile(dir, "a/b/c/f", facts{kind: unix.S_IFREG, mode: 0o644, mtime: stamp(1), content: "1"})
	})
}

func applyOddNames(e *env) {
	long := strings.Repeat("n", 255)
	names := []string{
		"with space", "new\nline", "tab\t", "quote\"'", "back\\slash", "col:on,comma", "\xff\xfe not UTF-8", "ünïcode",
		"-dash", "...", "..dots", "a.wh.b", long, long[:200] + "/" + long + "/" + long[:150], "%s", "*",
	}
	var entries []testutil.Entry
	for _, n := range names {
		entries = append(entries, testutil.Entry{Name: "./" + n, Body: n})
	}
	e.create("base", "")
	e.apply("base", "", gnuTar(e, entries))
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		for _, n := range names {
			e.wantFile(dir, n, facts{kind: unix.S_IFREG, mode: 0o644, content: n})
		}
	})
	// And out again, to the same tree.
	e.create("copy", "")
	e.apply("copy", "", e.diff("base", ""))
	e.same("copy", e.tree("copy", testutil.CoarseMtime), e.tree("base", testutil.CoarseMtime))
}

// gnuTar is testutil.Tar in the GNU format, which can carry names that are not UTF-8.
func gnuTar(e *env, entries []testutil.Entry) []byte {
	e.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, en := range entries {
		e.must(w.WriteHeader(&tar.Header{
			Format: tar.FormatGNU, Typeflag: tar.TypeReg, Name: en.Name, Size: int64(len(en.Body)), Mode: 0o644, ModTime: time.Unix(0, 0),
		}))
		_, err := w.Write([]byte(en.Body))
		e.must(err)
	}
	e.must(w.Close())
	return buf.Bytes()
}

func applySize(e *env) {
	e.create("base", "")
	n := e.apply("base", "", testutil.Tar(e,
		testutil.Entry{Name: "a", Body: strings.Repeat("x", 1000)},
		testutil.Entry{Name: "b", Type: tar.TypeLink, Link: "a"},
		testutil.Entry{Name: "d/"},
		testutil.Entry{Name: "s", Link: "a"},
		testutil.Entry{Name: "d/c", Body: strings.Repeat("y", 100_000)},
	))
	if n != 101_000 {
		e.Errorf("ApplyDiff counted %d bytes, want 101000", n)
	}
}

func applyNothing(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	want := e.tree("base")
	for what, diff := range map[string][]byte{"no bytes": nil, "end of archive": make([]byte, 1024), "long padding": make([]byte, 20480)} {
		id := graphdriver.ID(what)
		e.create(id, "base")
		if n := e.apply(id, "base", diff); n != 0 {
			e.Errorf("%s: %d bytes", what, n)
		}
		e.same(what, e.tree(id), want)
	}
}

// applyOntoParent: files of the parent keep what the layer does not mention.
func applyOntoParent(e *env) {
	e.layer("base", "",
		testutil.Entry{Name: "d/", Mode: 0o750, Mtime: stamp(1), Xattrs: map[string]string{"user.keep": "1"}},
		testutil.Entry{Name: "d/keep", Body: "1", Mtime: stamp(2)},
		testutil.Entry{Name: "d/replaced", Body: "1", Mtime: stamp(3)},
	)
	e.layer("child", "base",
		testutil.Entry{Name: "d/", Mode: 0o700, Mtime: stamp(4)},
		testutil.Entry{Name: "d/replaced", Body: "longer than before", Mode: 0o600, Mtime: stamp(5)},
		testutil.Entry{Name: "d/new", Body: "3", Mtime: stamp(6)},
	)
	e.mounted("child", func(dir string) {
		e.wantFile(dir, "d", facts{kind: unix.S_IFDIR, mode: 0o700, mtime: stamp(4)})
		e.wantFile(dir, "d/keep", facts{kind: unix.S_IFREG, mode: 0o644, mtime: stamp(2), content: "1"})
		e.wantFile(dir, "d/replaced", facts{kind: unix.S_IFREG, mode: 0o600, mtime: stamp(5), content: "longer than before"})
		e.wantFile(dir, "d/new", facts{kind: unix.S_IFREG, mode: 0o644, mtime: stamp(6), content: "3"})
	})
}

// applyMapped: owners are the container's in tars and the host's on disk.
func applyMapped(e *env) {
	m := hundred
	diff := testutil.Tar(e, testutil.Entry{Name: "d/", UID: 1, GID: 2}, testutil.Entry{Name: "d/f", Body: "x", UID: 99, GID: 0})
	e.must(e.d.Create(e.Context(), "base", "", graphdriver.CreateOptions{Mapping: m}))
	_, err := e.d.ApplyDiff(e.Context(), "base", "", bytes.NewReader(diff), graphdriver.ApplyOptions{Mapping: m})
	e.must(err)
	e.mounted("base", func(dir string) {
		e.wantFile(dir, "d", facts{kind: unix.S_IFDIR, mode: 0o755, uid: 100001, gid: 200002})
		e.wantFile(dir, "d/f", facts{kind: unix.S_IFREG, mode: 0o644, uid: 100099, gid: 200000})
	})
	e.layer("plain", "", testutil.Entry{Name: "d/", UID: 1, GID: 2}, testutil.Entry{Name: "d/f", Body: "x", UID: 99, GID: 0})
	if !bytes.Equal(e.diffMapped("base", "", m), e.diff("plain", "")) {
		e.Error("diffs of the mapped and of the plain layer differ")
	}
	unmapped := testutil.Tar(e, testutil.Entry{Name: "f", UID: 100})
	e.must(e.d.Create(e.Context(), "bad", "", graphdriver.CreateOptions{Mapping: m}))
	_, err = e.d.ApplyDiff(e.Context(), "bad", "", bytes.NewReader(unmapped), graphdriver.ApplyOptions{Mapping: m})
	e.wants("apply an unmapped owner", err, idmap.ErrUnmapped)
}
