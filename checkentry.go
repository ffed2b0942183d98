package strata

import (
	"archive/tar"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// entry compares one name of the tar with the tree.
func (t *treeCheck) entry(name string, h *tar.Header) {
	st, err := t.root.Lstat(name)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		if !t.throughLink() && !t.leftOut(h) {
			t.add("-", name, "%q is missing", name)
		}
		return
	case err != nil:
		t.found = append(t.found, layerFinding(t.layer, ProblemUnreadable, RepairNone, "%v", err))
		return
	}
	if what := t.differs(h, &st, name); what != "" {
		t.add("~", name, "%q %s", name, what)
	}
}

// leftOut: ordinary users' engines do not make devices.
func (t *treeCheck) leftOut(h *tar.Header) bool {
	return t.store.opts.Rootless && (h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock)
}

// differs says what is not as in the tar; "" if all is.
func (t *treeCheck) differs(h *tar.Header, st *unix.Stat_t, name string) string {
	if h.Typeflag == tar.TypeLink {
		return t.sameFile(h, st) // the rest is the other name's
	}
	format := typeBits(h.Typeflag)
	if format == 0 || t.store.opts.Rootless && (format == unix.S_IFCHR || format == unix.S_IFBLK) {
		return ""
	}
	if st.Mode&unix.S_IFMT != format {
		return fmt.Sprintf("is a %s, in the tar a %s", typeWord(st.Mode), typeWord(format))
	}
	switch format {
	case unix.S_IFREG:
		if st.Size != h.Size {
			return fmt.Sprintf("has %d bytes, in the tar %d", st.Size, h.Size)
		}
	case unix.S_IFLNK:
		if target, err := t.root.Readlink(name); err == nil && target != h.Linkname {
			return fmt.Sprintf("points to %q, in the tar to %q", target, h.Linkname)
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		if major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev); int64(major) != h.Devmajor || int64(minor) != h.Devminor {
			return fmt.Sprintf("is device %d:%d, in the tar %d:%d", major, minor, h.Devmajor, h.Devminor)
		}
	}
	return t.attributes(h, st, format)
}

// attributes compares owner and mode. A name with links has those of the last entry
// of the tar, under whichever name that was.
func (t *treeCheck) attributes(h *tar.Header, st *unix.Stat_t, format uint32) string {
	if format != unix.S_IFDIR && st.Nlink > 1 {
		return ""
	}
	if !t.store.ignoresOwners() && (int64(st.Uid) != int64(h.Uid) || int64(st.Gid) != int64(h.Gid)) {
		return fmt.Sprintf("belongs to %d:%d, in the tar to %d:%d", st.Uid, st.Gid, h.Uid, h.Gid)
	}
	if mode := uint32(h.Mode) & 0o7777; format != unix.S_IFLNK && st.Mode&0o7777 != mode {
		return fmt.Sprintf("has mode %04o, in the tar %04o", st.Mode&0o7777, mode)
	}
	return ""
}

// ignoresOwners: files may belong to whoever unpacked them.
func (s *Store) ignoresOwners() bool {
	ignores := func(option string) bool { return strings.Contains(option, "ignore_chown_errors") }
	return s.opts.Rootless || slices.ContainsFunc(s.opts.DriverOptions, ignores)
}

func typeBits(flag byte) uint32 {
	switch flag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse, tar.TypeCont:
		return unix.S_IFREG
	case tar.TypeDir:
		return unix.S_IFDIR
	case tar.TypeSymlink:
		return unix.S_IFLNK
	case tar.TypeChar:
		return unix.S_IFCHR
	case tar.TypeBlock:
		return unix.S_IFBLK
	case tar.TypeFifo:
		return unix.S_IFIFO
	}
	return 0
}

func typeWord(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "file of unknown type"
}

func sortByPath(found []Finding) {
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
}
