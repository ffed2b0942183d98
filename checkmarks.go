package strata

import (
	"archive/tar"
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const whiteoutOpaque = ".wh..wh..opq"

// deletions compares what the tar deletes with the marks for that in an overlay tree: without
// them, what the layers below have is back.
func (t *treeCheck) deletions() {
	if t.store.driver.name != overlayDriver || t.store.opts.Rootless || t.throughLink() {
		return
	}
	for name := range t.gone {
		if t.want[name] != nil || t.parents[name] {
			continue // the tar brings it anew
		}
		if _, err := t.root.Lstat(name); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			t.add("-", name, "the mark that deletes %q is missing", name)
		}
	}
	for dir := range t.opaque {
		if st, err := t.root.Lstat(dir); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && !isOpaque(filepath.Join(t.place.diff, dir)) {
			t.add("~", dir, "%q has lost the mark that hides what the layers below have in it", dir)
		}
	}
}

// overlayMarks are xattrs by which overlayfs would show something else than the layer's tar has,
// and that no tar brings.
var overlayMarks = []string{"trusted.overlay.redirect", "trusted.overlay.metacopy"}

// marks compares the extended attributes that matter of one name in the tree.
func (t *treeCheck) marks(name, full string) {
	if t.store.opts.Rootless {
		return
	}
	if t.store.driver.name == overlayDriver {
		for _, mark := range overlayMarks {
			if _, err := unix.Lgetxattr(full, mark, nil); err == nil {
				t.add("~", name, "%q has the attribute %s, which is not in the tar", name, mark)
			}
		}
		if !t.opaque[name] && !t.gone[name] && isOpaque(full) {
			t.add("~", name, "%q is marked to hide what the layers below have in it, which is not in the tar", name)
		}
	}
	if h := t.want[name]; h != nil && typeBits(h.Typeflag) == unix.S_IFREG {
		t.capability(h, name, full)
	}
}

const capability = "security.capability"

// capability: a program that lost its capabilities does not work, one that gained some does too much.
func (t *treeCheck) capability(h *tar.Header, name, full string) {
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil || st.Nlink > 1 {
		return // of several names, the last entry of the tar counts
	}
	var value [128]byte
	n, err := unix.Lgetxattr(full, capability, value[:])
	if err != nil && !errors.Is(err, unix.ENODATA) {
		return // the file system has none
	}
	if got := string(value[:max(n, 0)]); got != h.PAXRecords["SCHILY.xattr."+capability] {
		t.add("~", name, "%q has other capabilities than in the tar", name)
	}
}

// sameFile says what is wrong with a hard link whose other name the tar has, too.
func (t *treeCheck) sameFile(h *tar.Header, st *unix.Stat_t) string {
	target := strings.TrimPrefix(path.Clean("/"+h.Linkname), "/")
	if t.want[target] == nil || t.throughLink() {
		return ""
	}
	if other, err := t.root.Lstat(target); err == nil && (other.Ino != st.Ino || other.Dev != st.Dev) {
		return "is not the same file as \"" + target + "\", in the tar a hard link to it"
	}
	return ""
}

func isOpaque(dir string) bool {
	var value [1]byte
	for _, name := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		if n, err := unix.Lgetxattr(dir, name, value[:]); err == nil && n == 1 && value[0] == 'y' {
			return true
		}
	}
	return false
}

// hasNoContent reports whether a layer is known to have lost all of its files.
func (c *checker) hasNoContent(f Finding) bool {
	return f.Kind == KindLayer && slices.ContainsFunc(c.layers, func(l Finding) bool {
		return l.ID == f.ID && l.Problem == ProblemContentMissing
	})
}
