package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/lockfile"
)

// lockPath is a lock file of the store and what its records are about.
type lockPath struct {
	kind Kind
	path string
}

// lockPaths are the store's own lock files.
func (s *Store) lockPaths() []lockPath {
	locks := []lockPath{{KindLayer, s.roots.storageLock()}, {KindLayer, s.roots.usernsLock()}}
	for _, root := range s.roots.writableRoots() {
		locks = append(locks,
			lockPath{KindLayer, filepath.Join(layersDir(root, s.driver.name), "layers.lock")},
			lockPath{KindImage, filepath.Join(imagesDir(root, s.driver.name), "images.lock")})
	}
	return append(locks,
		lockPath{KindContainer, filepath.Join(containersDir(s.roots.graph, s.driver.name), "containers.lock")},
		lockPath{KindLayer, filepath.Join(layersDir(s.roots.run, s.driver.name), "mountpoints.lock")})
}

// brokenLocks looks for what is no file in the place of a lock file: nobody can use the store then,
// or, with a link, not everybody waits for everybody else.
func (s *Store) brokenLocks() (found []Finding) {
	for _, l := range s.lockPaths() {
		info, err := os.Lstat(l.path)
		if err != nil || info.Mode().IsRegular() {
			continue
		}
		found = append(found, Finding{
			Kind: l.kind, Problem: ProblemLockBroken, Path: l.path, Repair: RepairLock,
			Reason: "the lock file is a " + modeWord(info), Bytes: info.Size(),
		})
	}
	return found
}

// modeWord says what something is.
func modeWord(info fs.FileInfo) string {
	switch info.Mode().Type() {
	case fs.ModeDir:
		return typeWord(unix.S_IFDIR)
	case fs.ModeSymlink:
		return typeWord(unix.S_IFLNK)
	case fs.ModeNamedPipe:
		return typeWord(unix.S_IFIFO)
	case fs.ModeSocket:
		return typeWord(unix.S_IFSOCK)
	case fs.ModeDevice:
		return typeWord(unix.S_IFBLK)
	case fs.ModeDevice | fs.ModeCharDevice:
		return typeWord(unix.S_IFCHR)
	}
	return typeWord(unix.S_IFREG)
}

// addLock makes the finding about a lock file of an additional store; those of the store itself
// have theirs.
func (e *exam) addLock(kind Kind, broken *lockfile.NotAFileError) {
	if slices.ContainsFunc(e.findings, func(f Finding) bool { return f.Path == broken.Path }) {
		return
	}
	e.findings = append(e.findings, Finding{
		Kind: kind, ReadOnly: true, Problem: ProblemLockBroken, Path: broken.Path, Reason: "the lock file is no regular file",
	})
}

// lockStorage takes the lock for setting the driver up. What is no file there nobody can
// lock, or only through a link: for an examination, that has to do.
func (s *Store) lockStorage(ctx context.Context) (*lockfile.Held, error) {
	held, err := s.storage.Exclusive(ctx)
	var broken *lockfile.NotAFileError
	if !s.opts.Examine || !errors.As(err, &broken) {
		return held, err
	}
	held, err = lockfile.New(broken.Path, lockfile.Options{ReadOnly: true, Logger: s.log}).Shared(ctx)
	if errors.As(err, &broken) {
		return nil, nil
	}
	return held, err
}

// relock makes a lock file again.
func (r *repairer) relock(f Finding) error {
	info, err := os.Lstat(f.Path)
	if err == nil && info.Mode().IsRegular() {
		return nil // somebody did it already
	}
	if err := r.putAway("locks", f.Path); err != nil {
		return err
	}
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as all engines make it
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// putAway takes away what is in the place of a file of the store. What is no directory and on
// another file system than the trash is removed, a directory gets another name beside it.
func (r *repairer) putAway(object, path string) error {
	err := r.trash.keep(object, path) // also with Discard: it is not what strata thinks it is
	if !errors.Is(err, errdefs.ErrUnsupported) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return ignoreMissing(err)
	}
	if !info.IsDir() {
		return ignoreMissing(os.Remove(path))
	}
	return os.Rename(path, fmt.Sprintf("%s.away-%s", path, filepath.Base(r.trash.dir)))
}
