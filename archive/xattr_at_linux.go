package archive

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// listXattrAt is listxattrat(2), since Linux 6.13, for which x/sys has only the
// number. It does not follow a symbolic link.
func listXattrAt(dir int, name string, buf []byte) (int, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	size, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(dir), uintptr(unsafe.Pointer(path)),
		unix.AT_SYMLINK_NOFOLLOW, uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(size), nil
}
