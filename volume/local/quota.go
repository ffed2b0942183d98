package local

import (
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Project quotas (quotactl_fd(2), ioctl_xfs_fsgetxattr(2)): all files below a directory belong to
// a project, a number, whose blocks the kernel limits. ext4 and XFS have them.

const (
	fsGetXattr     = 0x801c581f // FS_IOC_FSGETXATTR
	fsSetXattr     = 0x401c5820 // FS_IOC_FSSETXATTR
	projectInherit = 0x200      // FS_XFLAG_PROJINHERIT
	firstProject   = 1 << 20    // below are those that people give out
	setQuota       = 0x800008<<8 | 2
	limitsValid    = 1 // QIF_BLIMITS
	quotaBlock     = 1024
)

// fsxattr is struct fsxattr.
type fsxattr struct {
	XFlags, ExtSize, NExtents, Project, CowExtSize uint32
	_                                              [8]byte
}

// diskQuota is struct if_dqblk; limits are in KiB.
type diskQuota struct {
	BlockHard, BlockSoft, Space, InodeHard, InodeSoft, Inodes, BlockTime, InodeTime uint64
	Valid                                                                           uint32
	_                                                                               uint32
}

// limit puts the directory data into a project of its own below root, of size bytes. A file
// system that can not is an ErrNoQuota.
func limit(root, data string, size uint64) error {
	fd, err := unix.Open(data, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set quota: %w", err)
	}
	defer closeFD(fd)
	project := nextProject(root)
	q := diskQuota{BlockHard: (size + quotaBlock - 1) / quotaBlock, Valid: limitsValid}
	q.BlockSoft = q.BlockHard
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(fd), setQuota, uintptr(project), uintptr(unsafe.Pointer(&q)), 0, 0)
	if errno != 0 {
		return ErrNoQuota
	}
	var attr fsxattr
	if err := ioctl(fd, fsGetXattr, &attr); err != nil {
		return ErrNoQuota
	}
	attr.Project, attr.XFlags = project, attr.XFlags|projectInherit
	if err := ioctl(fd, fsSetXattr, &attr); err != nil {
		return ErrNoQuota
	}
	return nil
}

// nextProject is one more than the highest of the volumes that are there.
func nextProject(root string) uint32 {
	next := uint32(firstProject)
	dirs, _ := filepath.Glob(filepath.Join(escapeGlob(root), "*", "_data"))
	for _, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var attr fsxattr
		if ioctl(fd, fsGetXattr, &attr) == nil && attr.Project >= next {
			next = attr.Project + 1
		}
		closeFD(fd)
	}
	return next
}

func escapeGlob(path string) string {
	escaped := make([]byte, 0, len(path))
	for _, c := range []byte(path) {
		if c == '*' || c == '?' || c == '[' || c == '\\' {
			escaped = append(escaped, '\\')
		}
		escaped = append(escaped, c)
	}
	return string(escaped)
}

// closeFD closes a directory that was only looked at.
func closeFD(fd int) { _ = unix.Close(fd) }

func ioctl(fd int, request uintptr, attr *fsxattr) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(attr)))
	if errno != 0 {
		return errno
	}
	return nil
}
