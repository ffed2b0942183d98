package lockfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// DefaultWaitNotice is how long a wait lasts before it is worth a message.
const DefaultWaitNotice = 2 * time.Second

// maxShared is the weight of an exclusive holder at the gate.
const maxShared = 1 << 30

// Options of New. The zero value is a lock for reading and writing that logs nothing.
type Options struct {
	// ReadOnly opens the file without the right to write: for stores of others and
	// read-only media. Such a Lock can only be held shared. A file that is not
	// there is created if the file system allows it.
	ReadOnly bool
	// Logger gets "waiting for lock …" when a wait is long; nil: nothing is logged.
	Logger *slog.Logger
	// WaitNotice is how long to wait before the first such message; later ones
	// follow at doubling intervals. 0 is DefaultWaitNotice, negative is never.
	WaitNotice time.Duration
}

// Lock is one lock file. It holds no descriptor while it is not held. Safe for
// concurrent use; make one per file and process so that goroutines queue up
// fairly (two Locks of one file exclude each other too, only less fairly).
type Lock struct {
	path string
	opts Options
	// gate orders the goroutines of this process: first come, first served, so a
	// writer is not starved by readers and no goroutine polls against another.
	gate *semaphore.Weighted
	// writes numbers this Lock's tokens.
	writes atomic.Uint64
}

// New returns the lock on the file at path. Nothing is opened or created yet; the
// file's directory has to exist by the time of locking.
func New(path string, opts Options) *Lock {
	if opts.WaitNotice == 0 {
		opts.WaitNotice = DefaultWaitNotice
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Lock{path: path, opts: opts, gate: semaphore.NewWeighted(maxShared)}
}

// Path returns the file's path as given to New.
func (l *Lock) Path() string { return l.path }

// ReadOnly reports whether the lock can only be held shared (Options.ReadOnly).
func (l *Lock) ReadOnly() bool { return l.opts.ReadOnly }

// Shared waits until nobody holds the lock exclusively and takes it together with
// other readers. A cancelled wait returns the context's error and leaves nothing behind.
func (l *Lock) Shared(ctx context.Context) (*Held, error) { return l.acquire(ctx, shared) }

// Exclusive waits until nobody else holds the lock and takes it alone. On a Lock
// with Options.ReadOnly it is errdefs.ErrReadOnly. A cancelled wait returns the
// context's error and leaves nothing behind.
func (l *Lock) Exclusive(ctx context.Context) (*Held, error) {
	if l.opts.ReadOnly {
		return nil, l.readOnlyError()
	}
	return l.acquire(ctx, exclusive)
}

// TryExclusive takes the lock alone if it is free right now; errdefs.ErrLocked if
// somebody holds it in any mode.
func (l *Lock) TryExclusive() (*Held, error) {
	if l.opts.ReadOnly {
		return nil, l.readOnlyError()
	}
	h, err := l.try(exclusive)
	if errors.Is(err, errBusy) {
		return nil, fmt.Errorf("lock %s: %w", l.path, errdefs.ErrLocked)
	}
	return h, err
}

// try takes the lock if nobody in or outside of this process is in the way; else errBusy.
func (l *Lock) try(m mode) (*Held, error) {
	if !l.gate.TryAcquire(m.weight()) {
		return nil, errBusy
	}
	f, err := l.lockFile(m)
	if err != nil {
		l.gate.Release(m.weight())
		return nil, err
	}
	return &Held{lock: l, mode: m, file: f}, nil
}

// lockFile opens the file and tries once to lock it. A file that is no longer the
// one at the path, because its last holder removed it, protects nothing: then the
// one that is there counts.
func (l *Lock) lockFile(m mode) (*os.File, error) {
	for {
		f, err := l.open()
		if err != nil {
			return nil, err
		}
		if err := setLock(f, m); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		current, err := l.isCurrent(f)
		if err == nil && current {
			return f, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("lock %s: %w", l.path, err)
		}
	}
}

func (l *Lock) isCurrent(f *os.File) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, named), err
}

func (l *Lock) readOnlyError() error {
	return fmt.Errorf("lock %s exclusively: %w", l.path, errdefs.ErrReadOnly)
}

// open opens the lock file and creates it when it is not there. Creating is the
// second step, because on read-only media and in sticky directories of others
// O_CREAT fails even for files that exist. A link is never written or created through,
// and nobody is waited for at a FIFO.
func (l *Lock) open() (*os.File, error) {
	flags := os.O_RDWR | unix.O_NOFOLLOW
	if l.opts.ReadOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(l.path, flags|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		f, err = l.create(flags | unix.O_NONBLOCK)
	}
	switch {
	case err == nil:
		return l.regular(f)
	case errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("open lock file: %w: %w", errdefs.ErrReadOnly, err)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO), errors.Is(err, fs.ErrExist):
		return nil, &NotAFileError{Path: l.path}
	default:
		return nil, fmt.Errorf("open lock file: %w", err)
	}
}

// create makes the file; fs.ErrExist for a link to nowhere. Somebody else may be faster,
// and remove his again.
func (l *Lock) create(flags int) (f *os.File, err error) {
	for range 10 {
		f, err = os.OpenFile(l.path, flags|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		old := err
		if f, err = os.OpenFile(l.path, flags, 0); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		err = old
	}
	return nil, err
}

// regular refuses what is no file.
func (l *Lock) regular(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &NotAFileError{Path: l.path}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
