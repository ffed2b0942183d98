// Package filecopy copies files and directories from one tree to another while
// both may be in use: out of a mounted container, into one, between two.
//
// A tree is a rootfd.Root, and every name is resolved beneath it by descriptor.
// Links on the way to the two ends that a person named are followed inside the
// tree, as a process inside of it would follow them (Resolve); below the ends
// links are copied as links. Whoever swaps names meanwhile can make a copy fail,
// never lead it out of the tree.
//
// For complete trees that nobody else touches, package treecopy is faster.
package filecopy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/rootfd"
)

// Errors of a copy.
var (
	// ErrOverDirectory: a file was to replace a directory.
	ErrOverDirectory = errdefs.New(errdefs.ErrExists, "a directory is in the way")
	// ErrNotDirectory: a directory was to be copied over something else.
	ErrNotDirectory = errdefs.New(errdefs.ErrExists, "what is there is not a directory")
	// ErrReplaced: what was to be copied was removed, or replaced again and again.
	ErrReplaced = errdefs.New(errdefs.ErrNotFound, "replaced while it was copied")
	// ErrIntoItself: the target lies inside of the directory that is copied.
	ErrIntoItself = errdefs.New(errdefs.ErrInvalid, "the target is inside of the source")
)

// errMoved is an ErrReplaced about which nothing was done yet: looking again may help.
var errMoved = fmt.Errorf("%w", ErrReplaced)

// Place is one end of a copy.
type Place struct {
	// Root is the tree.
	Root *rootfd.Root
	// Name is where in the tree, without links in front of its last component (Resolve).
	Name string
	// Mapping is the tree's: its files have the host-side owners of this mapping.
	Mapping idmap.Mapping
}

// Owner is a pair of container-side IDs.
type Owner struct{ UID, GID int }

// Options tune a copy. The zero value keeps the owners.
type Options struct {
	// Owner, when not nil, becomes the owner of everything that is copied.
	Owner *Owner
}

// Copy copies the file, or the directory with everything below it, at from to the
// name at to. A file replaces a file at once and whole; over a directory it is
// ErrOverDirectory. A directory is merged into one that is there, which keeps its
// own attributes; over anything else it is ErrNotDirectory. Missing directories
// above the target are made with mode 0755 and owned by the container's root. A new
// directory appears under its name when it is complete.
//
// Kept are content, modes, times, hard links within the source, device numbers,
// file capabilities and user.* attributes; owners move from the one mapping to the
// other, and an owner that the target's mapping lacks is an idmap.ErrUnmapped.
// Sockets are left out, and so is what vanishes from a directory while that is copied; what
// is replaced is copied as it is then. After an error or a cancelled ctx a part may be there of what is
// merged into a directory, whole files and whole directories; a process that is killed
// may leave one more with a name of its own (".strata-copy-..."), which Leftovers finds and
// the next copy into the same directory removes.
func Copy(ctx context.Context, from, to Place, opts Options) error {
	c := &copier{
		from: from.Mapping, to: to.Mapping, root: to.Root,
		links: map[inode]string{}, swept: map[inode]bool{}, self: thisProcess(),
	}
	if opts.Owner != nil {
		uid, gid, err := to.Mapping.ToHost(opts.Owner.UID, opts.Owner.GID)
		if err != nil {
			return err
		}
		c.owner = &Owner{uid, gid}
	}
	in, base, err := from.Root.Parent(from.Name)
	if err != nil {
		return err
	}
	defer in.Release()
	st, err := in.Lstat(base)
	if err != nil {
		return fmt.Errorf("/%s: %w", shown(from.Name), err)
	}
	if from.Root == to.Root && inside(to.Name, from.Name) && kind(st) == unix.S_IFDIR {
		return fmt.Errorf("/%s: %w", shown(to.Name), ErrIntoItself)
	}
	if to.Name == "." {
		return c.intoRoot(ctx, in, base, st)
	}
	if err := c.makeParents(to); err != nil {
		return err
	}
	out, name, err := to.Root.Parent(to.Name)
	if err != nil {
		return err
	}
	defer out.Release()
	return c.entry(ctx, in, base, st, out, name, to.Name)
}

// shown is a cleaned name as people write it behind a slash.
func shown(name string) string {
	if name == "." {
		return ""
	}
	return name
}

// inside reports whether a cleaned name is dir or lies below it.
func inside(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// intoRoot copies onto the root of the target tree.
func (c *copier) intoRoot(ctx context.Context, in *rootfd.Dir, base string, st unix.Stat_t) error {
	if kind(st) != unix.S_IFDIR {
		return fmt.Errorf("/: %w", ErrOverDirectory)
	}
	out, err := c.root.Dir(".")
	if err != nil {
		return err
	}
	defer out.Release()
	src, err := in.OpenDir(base)
	if err != nil {
		return err
	}
	defer src.Release()
	return c.content(ctx, src, out, "")
}

// makeParents makes the missing directories above a target.
func (c *copier) makeParents(to Place) error {
	name, _ := rootfd.Split(to.Name)
	if name == "." {
		return nil
	}
	_, err := to.Root.Lstat(name)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := c.makeParents(Place{Root: to.Root, Name: name, Mapping: to.Mapping}); err != nil {
		return err
	}
	uid, gid, err := to.Mapping.RootPair()
	if err != nil {
		return err
	}
	dir, base, err := to.Root.Parent(name)
	if err != nil {
		return err
	}
	defer dir.Release()
	err = c.beside(dir, base, func(as string) error {
		if err := dir.Mkdir(as, 0o755); err != nil {
			return err
		}
		if err := dir.Chown(as, uid, gid); err != nil {
			return err
		}
		return dir.Chmod(as, 0o755)
	})
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		return nil // somebody was faster
	}
	return err
}

// copier is the state of one Copy.
type copier struct {
	from, to idmap.Mapping
	owner    *Owner // host-side
	root     *rootfd.Root
	// links has the first target name of each inode with several names.
	links map[inode]string
	// swept are the directories without leftovers of killed copies.
	swept map[inode]bool
	// made is the new directory that is being filled, "" for none, and madeAs its name until
	// it is complete.
	made, madeAs string
	// self is in the names of temporary files.
	self process
	// top is the first directory that was made or merged into.
	top *inode
}

type inode struct {
	dev, ino uint64
}

func inodeOf(st unix.Stat_t) inode {
	return inode{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on some machines
}

func kind(st unix.Stat_t) uint32 { return st.Mode & unix.S_IFMT }

// entry copies in/base to out/name; where is the latter's name in its tree.
func (c *copier) entry(ctx context.Context, in *rootfd.Dir, base string, st unix.Stat_t, out *rootfd.Dir, name, where string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := faults.Hit("filecopy.entry", where); err != nil {
		return err
	}
	if kind(st) == unix.S_IFDIR {
		return c.directory(ctx, in, base, st, out, name, where)
	}
	if old, err := out.Lstat(name); err == nil && kind(old) == unix.S_IFDIR {
		return fmt.Errorf("/%s: %w", where, ErrOverDirectory)
	}
	if err := c.file(ctx, in, base, st, out, name, where); err != nil {
		return fmt.Errorf("/%s: %w", where, err)
	}
	return nil
}

// directory copies a directory and what is in it. One that is there is merged into. A
// new one gets its name when it is complete; those in it are new with it.
func (c *copier) directory(ctx context.Context, in *rootfd.Dir, base string, st unix.Stat_t, out *rootfd.Dir, name, where string) error {
	if c.top != nil && *c.top == inodeOf(st) {
		return fmt.Errorf("/%s: %w", where, ErrIntoItself)
	}
	src, err := in.OpenDir(base)
	if err != nil {
		return fmt.Errorf("/%s: %w", where, moved(err))
	}
	defer src.Release()
	fill := func(as string) error { return c.fillDirectory(ctx, src, out, as, where, nil) }
	old, err := out.Lstat(name)
	switch {
	case err == nil && kind(old) == unix.S_IFDIR:
		return fill(name)
	case err == nil:
		return fmt.Errorf("/%s: %w", where, ErrNotDirectory)
	case !errors.Is(err, unix.ENOENT):
		return fmt.Errorf("/%s: %w", where, err)
	}
	fill = func(as string) error {
		if err := out.Mkdir(as, 0o700); err != nil {
			return fmt.Errorf("/%s: %w", where, err)
		}
		return c.fillDirectory(ctx, src, out, as, where, &st)
	}
	if c.made != "" {
		return fill(name)
	}
	c.made = where
	defer func() { c.made = "" }()
	return c.beside(out, name, func(as string) error {
		c.madeAs = path.Join(path.Dir(where), as)
		return fill(as)
	})
}

// fillDirectory copies what is in a directory; attributes, when not nil, are those that the
// target gets when that is done.
func (c *copier) fillDirectory(ctx context.Context, src, out *rootfd.Dir, name, where string, attributes *unix.Stat_t) error {
	dst, err := out.OpenDir(name)
	if err != nil {
		return fmt.Errorf("/%s: %w", where, err)
	}
	defer dst.Release()
	if err := c.content(ctx, src, dst, where); err != nil || attributes == nil {
		return err
	}
	if err := c.attributes(rootfd.FD(dst.FD()), *attributes, rootfd.FD(src.FD())); err != nil {
		return fmt.Errorf("/%s: %w", where, err)
	}
	return nil
}

// content copies what is in a directory.
func (c *copier) content(ctx context.Context, src, dst *rootfd.Dir, where string) error {
	if c.top == nil {
		st, err := rootfd.FD(dst.FD()).Stat()
		if err != nil {
			return err
		}
		top := inodeOf(st)
		c.top = &top
	}
	return src.EachName(func(base string) error {
		return c.listed(ctx, src, base, dst, path.Join(where, base))
	})
}

// entryTries bounds how often a file is copied anew that is replaced meanwhile.
const entryTries = 5

// listed copies what a directory has under a name, if it still has it. An overlay lists the
// whiteouts of a directory with nothing below it, too, and has nothing under their names.
func (c *copier) listed(ctx context.Context, src *rootfd.Dir, base string, dst *rootfd.Dir, where string) error {
	for range entryTries {
		st, err := src.Lstat(base)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("/%s: %w", where, err)
		}
		if err := c.entry(ctx, src, base, st, dst, base, where); !errors.Is(err, errMoved) {
			return err
		}
	}
	return fmt.Errorf("/%s: %w", where, ErrReplaced)
}

// moved is an errMoved for what can not be opened as that which it was a moment ago.
func moved(err error) error {
	for _, sign := range []error{unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EINVAL} {
		if errors.Is(err, sign) {
			return fmt.Errorf("%w (%w)", errMoved, err)
		}
	}
	return err
}
