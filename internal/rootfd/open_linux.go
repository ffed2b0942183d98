package rootfd

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// resolve keeps a lookup inside its starting directory and off every link.
const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// maxStep is the longest name for one lookup: the kernel takes PATH_MAX (4096)
// bytes with the closing NUL.
const maxStep = 4095

// cutName cuts a name at a slash so that its head fits one lookup. A single
// component beyond maxStep stays whole; the kernel refuses it.
func cutName(name string) (head, rest string) {
	if len(name) <= maxStep {
		return name, ""
	}
	i := strings.LastIndexByte(name[:maxStep+1], '/')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

func openat2(at int, name string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: resolve}
	for {
		fd, err := unix.Openat2(at, name, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// walk does openat2's work by hand. It needs no ".." handling: names are clean.
func walk(at int, name string) (int, error) {
	held := -1
	for part := range strings.SplitSeq(name, "/") {
		fd, err := open(at, part, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		closeFD(held)
		if err != nil {
			return -1, asLoop(at, part, err)
		}
		at, held = fd, fd
	}
	return held, nil
}

// asLoop turns the ENOTDIR that a link gives together with O_DIRECTORY into
// openat2's ELOOP.
func asLoop(at int, part string, err error) error {
	var st unix.Stat_t
	if errors.Is(err, unix.ENOTDIR) && unix.Fstatat(at, part, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	return err
}

func open(at int, name string, flags int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flags|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return -1, err
	}
	return fd, nil
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// closeFD closes a descriptor that was only looked through; -1 is none.
func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd) // nothing was written through it
	}
}
