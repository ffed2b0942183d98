package layer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/recordfile"
)

// outlived reports whether the mount counts were last written before this boot,
// which they survive when the run root is no tmpfs, and path is no mount point
// now. The second half matters: setting the clock moves the time of the boot.
func (s *Store) outlived(path string) bool { return s.writtenBeforeBoot() && !isMountRoot(path) }

func (s *Store) writtenBeforeBoot() bool {
	info, err := os.Stat(filepath.Join(s.opts.RunDir, mountsName))
	return err == nil && info.ModTime().Before(bootTime())
}

// beginMounts takes the lock on the mount counts. Counts of an earlier boot go
// before the file gets a new time and they look like new ones.
func (s *Store) beginMounts(ctx context.Context) (*recordfile.WriteTx[mountRecord], error) {
	tx, err := s.mounts.Begin(ctx)
	if err != nil || !s.writtenBeforeBoot() {
		return tx, err
	}
	var stale []ID
	for m, err := range tx.All() {
		if err != nil {
			return nil, errors.Join(err, tx.Close())
		}
		if !isMountRoot(m.Path) {
			stale = append(stale, m.ID)
		}
	}
	for _, id := range stale {
		if err := tx.Delete(string(id)); err != nil {
			return nil, errors.Join(err, tx.Close())
		}
	}
	return tx, nil
}

// bootTime is when the kernel started, by the clock of now.
func bootTime() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// isMountRoot reports whether something is mounted at path; false when in doubt.
func isMountRoot(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
