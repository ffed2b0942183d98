package testutil

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TreeOption leaves something out of Tree's lines.
type TreeOption int

// What can be left out.
const (
	IgnoreMtime  TreeOption = iota // modification times
	IgnoreOwner                    // owners
	IgnoreNlink                    // link counts and which names are one file
	IgnoreXattrs                   // all extended attributes
	IgnoreRoot                     // the directory itself
	// CoarseMtime rounds times down to the second, as tars without PAX have them.
	CoarseMtime
)

// Tree dumps the tree at dir for comparing: one line for each object, sorted by
// path, the directory itself being ".". A line holds
//
//	path type mode uid:gid nlink size mtime xattrs content
//
// Mode is octal with the set-ID and sticky bits. Content is the digest of a regular
// file, the target of a symbolic link, the numbers of a device. What file systems
// choose freely is "-": size and link count of directories, size of devices. Of
// files with several names all but the first carry "same=" and that first name.
// Overlay's private attributes count as attributes.
func Tree(t testing.TB, dir string, opts ...TreeOption) []string {
	t.Helper()
	d := dump{root: dir, opts: opts, first: map[fileID]string{}}
	if err := filepath.WalkDir(dir, d.visit); err != nil {
		t.Fatalf("dump tree: %v", err)
	}
	return d.lines
}

type fileID struct{ dev, ino uint64 }

type dump struct {
	root  string
	opts  []TreeOption
	first map[fileID]string
	lines []string
}

func (d *dump) has(o TreeOption) bool { return slices.Contains(d.opts, o) }

func (d *dump) visit(path string, _ fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(d.root, path)
	if err != nil {
		return err
	}
	if rel == "." && d.has(IgnoreRoot) {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("lstat %s: %w", path, err)
	}
	line, err := d.line(path, rel, &st)
	d.lines = append(d.lines, line)
	return err
}

func (d *dump) line(path, rel string, st *unix.Stat_t) (string, error) {
	content, err := d.content(path, st)
	if err != nil {
		return "", err
	}
	xattrs, err := d.xattrs(path)
	if err != nil {
		return "", err
	}
	fields := []string{
		fmt.Sprintf("%q", rel), kind(st.Mode), fmt.Sprintf("%04o", st.Mode&0o7777), d.owner(st),
		d.nlink(rel, st), size(st), d.mtime(st), xattrs, content,
	}
	return strings.Join(fields, " "), nil
}

func (d *dump) owner(st *unix.Stat_t) string {
	if d.has(IgnoreOwner) {
		return "-"
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// nlink is the link count, and the first name of the same file if that is another one.
func (d *dump) nlink(rel string, st *unix.Stat_t) string {
	if d.has(IgnoreNlink) || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return "-"
	}
	id := fileID{st.Dev, st.Ino}
	if first, ok := d.first[id]; ok && st.Nlink > 1 {
		return fmt.Sprintf("%d same=%q", st.Nlink, first)
	}
	d.first[id] = rel
	return fmt.Sprint(st.Nlink)
}

func (d *dump) mtime(st *unix.Stat_t) string {
	if d.has(IgnoreMtime) {
		return "-"
	}
	m := time.Unix(st.Mtim.Unix()).UTC()
	if d.has(CoarseMtime) {
		m = m.Truncate(time.Second)
	}
	return m.Format(time.RFC3339Nano)
}

func size(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFLNK:
		return fmt.Sprint(st.Size)
	default:
		return "-"
	}
}

func kind(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "file"
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "symlink"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	case unix.S_IFIFO:
		return "fifo"
	default:
		return "socket"
	}
}

func (d *dump) content(path string, st *unix.Stat_t) (string, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		data, err := os.ReadFile(path)
		return Digest(data).String(), err
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		return fmt.Sprintf("%q", target), err
	case unix.S_IFCHR, unix.S_IFBLK:
		return fmt.Sprintf("%d,%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), nil
	default:
		return "-", nil
	}
}
