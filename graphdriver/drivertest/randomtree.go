package drivertest

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// object is a path that exists in the tree that the history is played on.
type object struct {
	path  string // "" for the root
	kind  uint32 // S_IFREG etc.
	inode uint64
	// inherited: it was there when the layer was made.
	inherited bool
	// sealed: a file of a lower layer with several names, or a directory with one inside.
	sealed bool
}

func (o object) isDir() bool     { return o.kind == unix.S_IFDIR }
func (o object) isRegular() bool { return o.kind == unix.S_IFREG }

// tree is what a step can choose from.
type tree struct {
	objects []object // sorted by path, the root first
}

// scan reads the tree at dir; inherited are the inodes of lower layers.
func (h *history) scan(dir string, inherited map[uint64]bool) tree {
	h.Helper()
	var t tree
	sealed := map[string]bool{}
	h.must(filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		o := object{path: rel, kind: st.Mode & unix.S_IFMT, inode: st.Ino, inherited: inherited[st.Ino]}
		o.sealed = o.inherited && !o.isDir() && st.Nlink > 1
		if o.sealed {
			for up := rel; up != "." && up != "/"; up = path.Dir(up) {
				sealed[up] = true
			}
		}
		t.objects = append(t.objects, o)
		return nil
	}))
	for i, o := range t.objects {
		t.objects[i].sealed = o.sealed || sealed[o.path]
	}
	return t
}

// inodes is the set of all that is there.
func (t tree) inodes() map[uint64]bool {
	set := map[uint64]bool{}
	for _, o := range t.objects {
		set[o.inode] = true
	}
	return set
}

// pick chooses one of the objects that fit; false if none does.
func (h *history) pick(t tree, fits func(object) bool) (object, bool) {
	var all []object
	for _, o := range t.objects {
		if fits(o) {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return object{}, false
	}
	return all[h.rng.IntN(len(all))], true
}

// fresh is a path that does not exist, in some directory. Names return after they are
// removed, so that whiteouts get something to do.
func (h *history) fresh(t tree) string {
	dir, _ := h.pick(t, object.isDir)
	for n := 0; ; n++ {
		name := fmt.Sprintf("n%d", h.rng.IntN(12+n))
		if p := path.Join(dir.path, name); !slices.ContainsFunc(t.objects, func(o object) bool { return o.path == p }) {
			return p
		}
	}
}
