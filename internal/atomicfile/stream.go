package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
)

// Stream is a file that gets its name when it is complete. Until then it has none, so that
// nothing stays of it however the process ends, or, where the file system has no such
// files, one beside that begins with TempPrefix. It is not safe for concurrent use.
type Stream struct {
	*os.File
	path string
	temp string // "": it has no name
	over bool
}

// Create begins a file that is to be at path, with permissions that are subject to the
// umask. The caller ends it by Commit or Abort.
func Create(path string, mode fs.FileMode) (*Stream, error) {
	if err := faults.Hit("atomicfile.open", path); err != nil {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(mode.Perm()))
	if err == nil {
		return &Stream{File: os.NewFile(uintptr(fd), path), path: path}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "create", Path: path, Err: err}
	}
	temp := beside(path)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return &Stream{File: f, path: path, temp: temp}, nil
}

func beside(path string) string {
	return filepath.Join(filepath.Dir(path), TempPrefix+filepath.Base(path)+strconv.FormatUint(rand.Uint64(), 10))
}

// Write adds to the file.
func (s *Stream) Write(data []byte) (int, error) {
	if err := faults.Hit("atomicfile.stream", s.path); err != nil {
		return 0, &os.PathError{Op: "write", Path: s.path, Err: err}
	}
	return s.File.Write(data)
}

// Commit gives the file its name, in place of what is there, and closes it. It syncs
// nothing. After an error what was there is there.
func (s *Stream) Commit() error {
	err := s.name()
	if err != nil {
		s.Abort()
		return fmt.Errorf("put %s in place: %w", s.path, err)
	}
	s.over = true
	return s.Close()
}

// CommitDurable is Commit of a file that is to survive a power cut from then on. When only
// flushing its folder fails, the file is in place all the same. A folder that may not be read
// can not be flushed, which is no error.
func (s *Stream) CommitDurable() error {
	if err := s.Sync(); err != nil {
		s.Abort()
		return err
	}
	if err := s.Commit(); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(s.path)); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func (s *Stream) name() error {
	if err := faults.Hit("atomicfile.name", s.path); err != nil {
		return err
	}
	if s.temp == "" {
		err := s.link(s.path)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		temp := beside(s.path)
		if err := s.link(temp); err != nil {
			return err
		}
		s.temp = temp
	}
	return os.Rename(s.temp, s.path)
}

// link gives a file without a name one that is not taken.
func (s *Stream) link(path string) error {
	from := "/proc/self/fd/" + strconv.Itoa(int(s.Fd()))
	return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// Abort gives the file up. After Commit it does nothing: always safe to defer.
func (s *Stream) Abort() {
	if s.over {
		return
	}
	s.over = true
	_ = s.Close() // what was written is given up anyway
	if s.temp != "" {
		_ = os.Remove(s.temp)
	}
}
