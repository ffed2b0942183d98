// Package tree handles whole directory trees of volumes: it removes them without ever
// entering a mount, copies them, and sums up their size. Containers wrote what is in
// them, so no link is followed and no name is trusted.
package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// ErrMounted says that something is mounted inside a tree that was to be removed.
var ErrMounted = errdefs.New(errdefs.ErrInUse, "something is mounted inside")

// maxDepth is how many directories Remove holds open; what lies deeper is moved up first,
// since a container may nest deeper than a process may have descriptors.
const maxDepth = 128

// batch is how many names of a directory are read at a time.
const batch = 1024

// Remove deletes the directory at path with everything in it; a missing one is success. A
// mount inside is an ErrMounted: nothing in it is touched, but what was met before it is
// gone. Two may remove the same tree at once.
func Remove(path string) error {
	parent, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	defer closeFD(parent)
	r := &remover{top: -1}
	if err := r.entry(parent, filepath.Base(path), 0); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return nil
}

type remover struct {
	top   int // the tree's own directory, where deep ones are moved to
	moved int
}

// entry removes one object; one that vanishes meanwhile is success.
func (r *remover) entry(parent int, name string, depth int) error {
	err := retry(func() error { return unix.Unlinkat(parent, name, 0) })
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%s: %w", name, ErrMounted)
	case !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: %w", name, err)
	}
	if depth > maxDepth {
		return r.moveUp(parent, name)
	}
	return r.directory(parent, name, depth)
}

func (r *remover) directory(parent int, name string, depth int) error {
	fd, err := openHere(parent, name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EXDEV):
		return fmt.Errorf("%s: %w", name, ErrMounted)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	if depth == 0 {
		r.top = fd
	}
	if err := r.content(dir, fd, depth); err != nil {
		return fmt.Errorf("%s/%w", name, err)
	}
	err = retry(func() error { return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.EBUSY) {
		err = ErrMounted
	}
	return fmt.Errorf("%s: %w", name, err)
}

// content empties a directory. Removing while reading may hide names from the reader, so it
// is read again until there is nothing left.
func (r *remover) content(dir *os.File, fd, depth int) error {
	for {
		if _, err := dir.Seek(0, 0); err != nil {
			return err
		}
		seen := 0
		for {
			names, err := dir.Readdirnames(batch)
			for _, name := range names {
				if err := r.entry(fd, name, depth+1); err != nil {
					return err
				}
			}
			if seen += len(names); err != nil || len(names) == 0 {
				break
			}
		}
		if seen == 0 {
			return nil
		}
	}
}

// moveUp makes a directory that is too deep an entry of the top one, which will be read
// again.
func (r *remover) moveUp(parent int, name string) error {
	for {
		r.moved++
		err := unix.Renameat2(parent, name, r.top, ".deep-"+strconv.Itoa(r.moved), unix.RENAME_NOREPLACE)
		switch {
		case errors.Is(err, unix.EEXIST):
			continue
		case err == nil || errors.Is(err, unix.ENOENT):
			return nil
		}
		return fmt.Errorf("%s: %w", name, err)
	}
}

// openHere opens a directory that is on the same mount as its parent; EXDEV if it is not.
func openHere(parent int, name string) (fd int, err error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	}
	err = retry(func() error { fd, err = unix.Openat2(parent, name, &how); return err })
	if errors.Is(err, unix.ENOSYS) {
		return -1, fmt.Errorf("kernel without openat2: %w", errdefs.ErrUnsupported)
	}
	return fd, err
}

// closeFD closes a descriptor that has nothing to lose: what is written is closed as a file.
func closeFD(fd int) { _ = unix.Close(fd) }

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return err
		}
	}
}
