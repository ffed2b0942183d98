package drivertest

import (
	"archive/tar"
	"bytes"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

func reownCases() []testCase {
	needs := []need{needsReowns, needsOwners}
	return []testCase{
		{name: "reown: only owners change", needs: needs, run: reownOwnersOnly},
		{name: "reown: layers on a copy", needs: needs, run: reownChild},
		{name: "reown: diff into a copy", needs: append(needs, needsStager), run: reownApply},
		{name: "reown: owner without a place", needs: needs, run: reownUnmapped},
		{name: "reown: files of a copy's tar", needs: append(needs, needsDiffGetter), run: reownGetter},
	}
}

// capNetRaw is a file capability that names no user.
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// owned makes a base layer and one on it, with everything that has an owner.
func (e *env) owned() {
	e.Helper()
	e.layer("base", "",
		testutil.Entry{Name: "bin/", Mtime: stamp(1)},
		testutil.Entry{Name: "bin/su", Body: "1", Mode: 0o4755, UID: 1, GID: 2, Mtime: stamp(2)},
		testutil.Entry{Name: "bin/sg", Body: "1", Mode: 0o2755, GID: 5, Mtime: stamp(3)},
		testutil.Entry{Name: "bin/ping", Body: "1", Mode: 0o755, Xattrs: map[string]string{"security.capability": capNetRaw, "user.a": "b"}},
		testutil.Entry{Name: "bin/hard", Type: tar.TypeLink, Link: "bin/su", Mode: 0o4755, UID: 1, GID: 2, Mtime: stamp(2)},
		testutil.Entry{Name: "bin/soft", Link: "su", UID: 3, GID: 4, Mtime: stamp(4)},
		testutil.Entry{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3, UID: 7},
		testutil.Entry{Name: "fifo", Type: tar.TypeFifo, GID: 8},
		testutil.Entry{Name: "gone", Body: "1"},
		testutil.Entry{Name: "opq/"}, testutil.Entry{Name: "opq/old", Body: "1"},
	)
	e.layer("top", "base",
		testutil.Entry{Name: ".wh.gone"}, testutil.Entry{Name: "opq/", UID: 9}, testutil.Entry{Name: "opq/.wh..wh..opq"},
		testutil.Entry{Name: "opq/new", Body: "2", UID: 99, GID: 99, Mtime: stamp(5)},
	)
}

// copyOf makes a layer with the files of parent moved from one mapping to another.
func (e *env) copyOf(id, parent graphdriver.ID, from, to idmap.Mapping) {
	e.Helper()
	e.must(e.d.Create(e.Context(), id, parent, graphdriver.CreateOptions{Mapping: to, Reown: &from}))
}

// reownOwnersOnly: a copy has the owners of its mapping, root directory included, and
// copied back it is what it was copied from.
func reownOwnersOnly(e *env) {
	e.owned()
	want := e.tree("top")
	e.copyOf("copy", "top", idmap.Mapping{}, hundred)
	e.mounted("copy", func(dir string) {
		e.wantFile(dir, ".", facts{kind: unix.S_IFDIR, mode: 0o555, uid: 100000, gid: 200000})
		e.wantFile(dir, "bin/su", facts{kind: unix.S_IFREG, mode: 0o4755, uid: 100001, gid: 200002, content: "1"})
		e.wantFile(dir, "bin/sg", facts{kind: unix.S_IFREG, mode: 0o2755, uid: 100000, gid: 200005, content: "1"})
		e.wantFile(dir, "opq/new", facts{kind: unix.S_IFREG, mode: 0o644, uid: 100099, gid: 200099, content: "2"})
		buf := make([]byte, 64)
		n, err := unix.Getxattr(filepath.Join(dir, "bin/ping"), "security.capability", buf)
		e.must(err)
		if n != 24 || !bytes.Equal(buf[20:24], []byte{0xa0, 0x86, 0x01, 0x00}) { // 100000, little endian
			e.Errorf("capability %x", buf[:n])
		}
	})
	e.same("the original", e.tree("top"), want)
	e.copyOf("back", "copy", hundred, idmap.Mapping{})
	e.same("copied back", e.tree("back"), want)
	e.must(e.d.Remove(e.Context(), "back"))
	e.must(e.d.Remove(e.Context(), "copy"))
	e.same("the original at the end", e.tree("top"), want)
}

// reownChild: what a layer on a copy changes is its only difference, with the owners of
// the container.
func reownChild(e *env) {
	e.owned()
	e.copyOf("copy", "top", idmap.Mapping{}, hundred)
	e.must(e.d.Create(e.Context(), "child", "copy", graphdriver.CreateOptions{Mapping: hundred}))
	e.mounted("child", func(dir string) {
		e.wantFile(dir, ".", facts{kind: unix.S_IFDIR, mode: 0o555, uid: 100000, gid: 200000})
		e.in(dir, writeFile("own", "3"))
		e.must(unix.Lchown(filepath.Join(dir, "own"), 100042, 200043))
		e.must(unix.Unlink(filepath.Join(dir, "bin/ping")))
	})
	opts := graphdriver.DiffOptions{Mapping: hundred, ParentMapping: hundred}
	changes, err := e.d.Changes(e.Context(), "child", "copy", opts)
	e.must(err)
	e.same("changes", changeLines(changes), []string{`Modify "/bin"`, `Delete "/bin/ping"`, `Add "/own"`})
	against, err := e.d.Changes(e.Context(), "copy", "top", graphdriver.DiffOptions{Mapping: hundred})
	e.must(err)
	e.same("changes of the copy", changeLines(against), []string{})
	for _, h := range headers(e, e.diffMapped("child", "copy", hundred)) {
		if h.Name == "own" && (h.Uid != 42 || h.Gid != 43) {
			e.Errorf("diff has own of %d:%d", h.Uid, h.Gid)
		}
	}
}

func headers(e *env, diff []byte) (all []*tar.Header) {
	e.Helper()
	r := tar.NewReader(bytes.NewReader(diff))
	for {
		h, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, h)
	}
}

// reownApply: a tar that is unpacked into a staged copy lies above the copies.
func reownApply(e *env) {
	e.owned()
	st, err := power[graphdriver.Stager](e, e.d).Stage(e.Context(), "top", graphdriver.CreateOptions{Mapping: hundred, Reown: &idmap.Mapping{}})
	e.must(err)
	diff := testutil.Tar(e, testutil.Entry{Name: "bin/"}, testutil.Entry{Name: "bin/.wh.su"}, testutil.Entry{Name: "bin/sg", Body: "4", UID: 6})
	_, err = st.ApplyDiff(e.Context(), bytes.NewReader(diff), graphdriver.ApplyOptions{Mapping: hundred})
	e.must(err)
	e.must(st.Adopt(e.Context(), "copy"))
	e.must(st.Discard())
	e.mounted("copy", func(dir string) {
		e.wantNames(filepath.Join(dir, "bin"), "hard", "ping", "sg", "soft")
		e.wantFile(dir, "bin/sg", facts{kind: unix.S_IFREG, mode: 0o644, uid: 100006, gid: 200000, content: "4"})
		e.wantFile(dir, "bin/hard", facts{kind: unix.S_IFREG, mode: 0o4755, uid: 100001, gid: 200002, content: "1"})
	})
}

// reownUnmapped: an owner that the mapping has no place for becomes nobody, as a mount
// that shifts would show it.
func reownUnmapped(e *env) {
	e.owned()
	few := idmap.Mapping{UIDs: []idmap.Range{{HostID: 5000, Size: 50}}, GIDs: []idmap.Range{{HostID: 6000, Size: 100}}}
	e.copyOf("copy", "top", idmap.Mapping{}, few)
	e.mounted("copy", func(dir string) {
		e.wantFile(dir, "opq/new", facts{kind: unix.S_IFREG, mode: 0o644, uid: idmap.Nobody, gid: 6099, content: "2"})
	})
}

// reownGetter: the exact tar of a copy is put together from the same content.
func reownGetter(e *env) {
	e.owned()
	e.copyOf("copy", "top", idmap.Mapping{}, hundred)
	g, err := power[graphdriver.DiffGetter](e, e.d).DiffGetter(e.Context(), "copy")
	e.must(err)
	f, err := g.Get("opq/new")
	e.must(err)
	var content bytes.Buffer
	_, err = content.ReadFrom(f)
	e.must(err)
	e.must(f.Close())
	e.must(g.Close())
	if content.String() != "2" {
		e.Errorf("content %q", content.String())
	}
}
