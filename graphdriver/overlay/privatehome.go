package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/mountapi"
)

// ensureHome mounts the primary home on itself, private, unless something is mounted there
// already. Layers' mounts then do not spread into other mount namespaces, where they
// would keep layers busy. The mount is left for the next process.
func (d *driver) ensureHome(ctx context.Context) error {
	home := d.homes[0].path
	if d.settings.skipMountHome {
		return nil
	}
	if info, err := os.Lstat(home); err != nil || info.Mode().Type() == fs.ModeSymlink {
		return err // a mount would cover the link, not the directory that it leads to
	}
	if mounted, err := mountapi.IsMountPoint(home); mounted || err != nil {
		return err
	}
	err := bindOnce(home)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		d.log.DebugContext(ctx, "driver home stays without a private mount", "home", home, "error", err)
		return nil
	}
	return err
}

// bindOnce is for one process at a time: two would stack their mounts. Where layers are
// mounted already without a private home, they would be hidden by it, so it is left out.
func bindOnce(home string) error {
	f, err := os.Open(home)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", home, err)
	}
	if mounted, err := mountapi.IsMountPoint(home); mounted || err != nil {
		return err
	}
	if busy, err := mountapi.AnyBelow(home); busy || err != nil {
		return err
	}
	return mountapi.BindPrivate(home)
}

// Cleanup takes the private mount of the home away when nobody uses it: no layer is mounted
// in it and no process, of whatever engine, has a file open in it, such as the lock of a
// staging directory. Otherwise it stays for them. A file system that an administrator has
// mounted there is not touched.
func (d *driver) Cleanup(ctx context.Context) error {
	home := d.homes[0].path
	if d.settings.skipMountHome {
		return nil
	}
	ours, err := mountapi.IsSelfBind(home)
	if err != nil || !ours {
		return err
	}
	err = mountapi.Unmount(home)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) {
		d.log.DebugContext(ctx, "private mount of driver home stays", "error", err)
		return nil
	}
	return err
}
