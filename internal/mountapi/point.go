package mountapi

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// IsMountPoint reports whether something is mounted at path itself. A path that does not
// exist is none. It asks for this one path and does not read the mount table, unless the
// kernel is older than 5.8. A mount whose server has died (FUSE) counts as one.
func IsMountPoint(path string) (bool, error) {
	var st unix.Statx_t
	err := retry(func() error {
		return unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, 0, &st)
	})
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		return false, nil
	case errors.Is(err, unix.ENOTCONN):
		return true, nil
	case err == nil && st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0:
		return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
	case err == nil || errors.Is(err, unix.ENOSYS):
		return oldIsMountPoint(path)
	}
	return false, fmt.Errorf("look for a mount at %s: %w", path, err)
}

// oldIsMountPoint: another device than the parent's is proof of a mount; the same device
// may still be a bind mount, which only the mount table knows.
func oldIsMountPoint(path string) (bool, error) {
	var own, parent unix.Stat_t
	if err := unix.Lstat(path, &own); err != nil {
		return false, fmt.Errorf("look for a mount at %s: %w", path, err)
	}
	if err := unix.Lstat(filepath.Dir(path), &parent); err != nil {
		return false, fmt.Errorf("look for a mount at %s: %w", path, err)
	}
	if own.Dev != parent.Dev {
		return true, nil
	}
	mounts, err := Table(mountinfo.SingleEntryFilter(path))
	if err != nil {
		return false, err
	}
	return len(mounts) > 0, nil
}

// AnyBelow reports whether the mount table has a mount below dir, other than at dir itself.
func AnyBelow(dir string) (bool, error) {
	mounts, err := Table(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, strings.TrimSuffix(dir, "/")+"/"), false
	})
	if err != nil {
		return false, err
	}
	return len(mounts) > 0, nil
}

// Detach unmounts path with everything mounted below it, at once; files that are open in
// it stay usable until they are closed. A path where nothing is mounted is success.
func Detach(path string) error {
	return unmount(path, unix.MNT_DETACH)
}

// Unmount unmounts path unless it is in use: then it is unix.EBUSY. A path where nothing
// is mounted is success.
func Unmount(path string) error {
	return unmount(path, 0)
}

func unmount(path string, flags int) error {
	err := retry(func() error { return unix.Unmount(path, flags|unix.UMOUNT_NOFOLLOW) })
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("unmount %s: %w", path, err)
}

// BindPrivate mounts dir on itself, out of all propagation, so that mounts below it do
// not spread to other mount namespaces.
func BindPrivate(dir string) error {
	t, err := Clone(dir)
	if err != nil {
		return bindClassic(dir, err)
	}
	if err := t.Private(); err != nil {
		return errors.Join(bindClassic(dir, err), t.Close())
	}
	return errors.Join(t.Attach(dir), t.Close())
}

// bindClassic is for kernels that lack the calls; any other error is final.
func bindClassic(dir string, err error) error {
	if !errors.Is(err, ErrNoTrees) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind mount %s: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return errors.Join(fmt.Errorf("make mount %s private: %w", dir, err), Unmount(dir))
	}
	return nil
}
