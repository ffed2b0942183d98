package ontop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/volume"
)

var errNotDir = unix.ENOTDIR

// lockPolls are the first and the longest wait between two tries for a lock that another
// process or request has.
const (
	firstPoll   = time.Millisecond
	longestPoll = 20 * time.Millisecond
)

// hold locks a volume for a change and reads its metadata. After an error there is nothing
// to unlock.
func (d *Driver) hold(ctx context.Context, name string) (p place, m metadata, unlock func(), err error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return p, m, nil, err
	}
	p = d.place(name)
	unlock, m, err = p.lock(ctx, true)
	return p, m, unlock, err
}

// lock takes the flock of a volume, exclusive or shared, and reads the metadata under it. A
// volume that is removed, or renamed, while this waits is ErrNoSuchVolume. The lock dies
// with the process.
func (p place) lock(ctx context.Context, exclusive bool) (unlock func(), m metadata, err error) {
	dir, err := os.Open(p.path(recordsDir))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotDir) {
		if _, err := p.metadata(); err != nil {
			return nil, m, err
		}
		if dir, err = p.makeRecords(); err != nil {
			return nil, m, err
		}
	} else if err != nil {
		return nil, m, fmt.Errorf("lock volume %s: %w", p.name, err)
	}
	defer func() {
		if err != nil {
			dir.Close()
		}
	}()
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	if err := flock(ctx, int(dir.Fd()), how); err != nil {
		return nil, m, fmt.Errorf("lock volume %s: %w", p.name, err)
	}
	if !p.still(dir) {
		return nil, m, volume.ErrNoSuchVolume
	}
	m, err = p.metadata()
	return func() { dir.Close() }, m, err
}

// makeRecords makes the folder that the model says is always there.
func (p place) makeRecords() (*os.File, error) {
	if err := os.Mkdir(p.path(recordsDir), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("lock volume %s: %w", p.name, err)
	}
	return os.Open(p.path(recordsDir))
}

// still reports whether the open folder is the one at the volume's path.
func (p place) still(dir *os.File) bool {
	locked, err := dir.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(p.path(recordsDir))
	return err == nil && os.SameFile(locked, now)
}

func flock(ctx context.Context, fd, how int) error {
	for wait := firstPoll; ; wait = min(2*wait, longestPoll) {
		err := unix.Flock(fd, how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}
