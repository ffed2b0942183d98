// Package reserve keeps a little of a file system back, so that deleting works
// when nothing is left: also a deletion has to write a record file anew before the
// old one goes.
package reserve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// unit is what the files grow by, in bytes, and the least that they have.
	unit = 64 << 10
	// spares is how many files there are: more than one command has to write.
	spares = 6
)

// ErrEmpty says that nothing is left of the reserve.
var ErrEmpty = errors.New("the reserve is used up")

// Space is a directory of files with blocks but without content. Whoever finds no
// room for a file takes one of them: neither an inode nor a block has to be found
// then, and nothing has to be freed first, which some file systems do late. It is
// not flushed: whatever a crash leaves of it serves, and Keep makes it anew. A nil
// *Space is empty. It is safe for concurrent use, by processes too.
type Space struct {
	dir string

	mu    sync.Mutex
	want  int64 // the most that was asked for
	taken bool  // by this process, since the last Restore
}

// New returns the reserve in dir, which is made when it is first kept.
func New(dir string) *Space { return &Space{dir: dir} }

// Full reports whether an error says that a disk or a quota is full.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// Keep makes sure that each file has room for want bytes. Once something was taken
// it does nothing until Restore. An error, such as a full disk's, leaves what there
// was.
func (s *Space) Keep(want int64) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want = max(s.want, want)
	if s.taken {
		return nil
	}
	return s.keep()
}

// Restore makes up for what was taken, if there is room for it by now. The caller
// has ended what it needed the room for.
func (s *Space) Restore() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken {
		return nil
	}
	s.taken = false
	return s.keep()
}

func (s *Space) keep() error {
	size := (max(1, s.want) + unit - 1) / unit * unit
	for i := range spares {
		path := s.file(i)
		if info, err := os.Lstat(path); err == nil && info.Size() >= size {
			continue
		}
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return fmt.Errorf("keep space in reserve: %w", err)
		}
		if err := allocate(path, size); err != nil {
			return fmt.Errorf("keep space in reserve: %w", err)
		}
	}
	return nil
}

func (s *Space) file(i int) string { return filepath.Join(s.dir, strconv.Itoa(i)) }

// allocate gives a file blocks; after an error it has those that it had before.
func allocate(path string, size int64) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		_, err = f.WriteAt(make([]byte, size-info.Size()), info.Size())
	}
	if err != nil {
		return errors.Join(err, f.Truncate(info.Size()))
	}
	return nil
}

// Take renames one of the files to path, which must not be there, on the same file
// system, and opens it for writing. Its content is undefined: the caller overwrites
// it from the start and cuts off the rest. ErrEmpty when there is none.
func (s *Space) Take(path string) (*os.File, error) {
	if s == nil {
		return nil, ErrEmpty
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = true
	for i := range spares {
		err := unix.Renameat2(unix.AT_FDCWD, s.file(i), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
		if err == nil {
			return os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("take %s from the reserve: %w", path, err)
		}
	}
	return nil, ErrEmpty
}
