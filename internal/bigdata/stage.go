package bigdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// stagePrefix begins the names of staging directories. They are dotted, so that
// the other engines' garbage collection leaves them alone (on-disk format, 2.9).
const stagePrefix = ".stage-"

// Stage is a private directory beside the objects' own, in which items become
// durable before any lock is taken. Adopting is a rename. A stage of a process
// that died is removed by SweepStages: while its process lives, the directory is
// locked with flock(2). It is not safe for concurrent use.
type Stage struct {
	parent string
	path   string
	handle *os.File // keeps the flock; nil after the end
	opts   Options
}

// newStage makes an empty stage in parent, the directory of all objects of a kind.
func newStage(parent string, opts Options) (*Stage, error) {
	for {
		if err := faults.Hit("bigdata.stage", parent); err != nil {
			return nil, fmt.Errorf("make staging directory: %w", err)
		}
		path, err := os.MkdirTemp(parent, stagePrefix)
		if err != nil {
			return nil, fmt.Errorf("make staging directory: %w", err)
		}
		var handle *os.File
		if err = faults.Hit("bigdata.lock", path); err == nil {
			handle, err = lockDir(path)
		}
		if err != nil {
			return nil, errors.Join(err, removeAll(path))
		}
		if handle != nil {
			return &Stage{parent: parent, path: path, handle: handle, opts: opts}, nil
		}
		// Another process took it for a dead one's, or asked just now whether it is: try another
		// name. Who only asked has left the directory.
		_ = os.Remove(path)
	}
}

// Item is one data item.
type Item struct {
	Key  string
	Data []byte
}

// StageItems makes a stage in parent with items in it, durable. A cancelled or
// failed call leaves nothing.
func StageItems(ctx context.Context, parent string, items []Item, opts Options) (*Stage, error) {
	st, err := newStage(parent, opts)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		if err = ctx.Err(); err == nil {
			err = st.put(it.Key, it.Data)
		}
		if err != nil {
			return nil, errors.Join(err, st.Discard())
		}
	}
	if err := st.sync(); err != nil {
		return nil, errors.Join(err, st.Discard())
	}
	return st, nil
}

// lockDir opens and locks a directory without waiting. It returns nil, nil when
// somebody else has it or it is gone.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock staging directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && stillThere(f, path) {
		return f, nil
	}
	closeErr := f.Close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, closeErr
	}
	return nil, errors.Join(fmt.Errorf("lock staging directory %s: %w", path, err), closeErr)
}

func stillThere(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// put writes one item into the stage. The same key twice is an fs.ErrExist.
func (s *Stage) put(key string, data []byte) (err error) {
	if key == UserData {
		return fmt.Errorf("key %q: %w", key, ErrBadKey)
	}
	name, err := newFileName(key)
	if err != nil {
		return err
	}
	if err := faults.Hit("bigdata.put", s.path); err != nil {
		return fmt.Errorf("stage data item %q: %w", key, err)
	}
	f, err := os.OpenFile(filepath.Join(s.path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("stage data item %q: %w", key, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("stage data item %q: %w", key, err)
	}
	if s.opts.NoSync {
		return nil
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("stage data item %q: %w", key, err)
	}
	return nil
}

// sync makes the stage's directory durable, after the last put.
func (s *Stage) sync() error {
	if s.opts.NoSync {
		return nil
	}
	return atomicfile.SyncDir(s.path)
}

// Discard removes what was not adopted. Always safe to defer, also for nil.
func (s *Stage) Discard() error {
	if s == nil {
		return nil
	}
	var err error
	if s.path != "" {
		err = removeAll(s.path)
		s.path = ""
	}
	return errors.Join(err, s.release())
}

func (s *Stage) release() error {
	if s.handle == nil {
		return nil
	}
	err := s.handle.Close()
	s.handle = nil
	return err
}

// SweepStages removes the stages of processes that died from parent, and reports
// all that could not be removed together. Stages in use stay.
func SweepStages(parent string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("sweep staging directories: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), stagePrefix) {
			errs = append(errs, sweepStage(filepath.Join(parent, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func sweepStage(path string) error {
	handle, err := lockDir(path)
	if handle == nil {
		return err
	}
	return errors.Join(removeAll(path), handle.Close())
}

// removeAll removes a tree, and once more what an error stopped it at: one that passes
// must not leave anything behind.
func removeAll(path string) error {
	if err := faults.Hit("bigdata.remove", path); err != nil {
		return err
	}
	if os.RemoveAll(path) == nil {
		return nil
	}
	return os.RemoveAll(path)
}
