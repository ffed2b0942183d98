package dedupe

import (
	"encoding/binary"
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// chunk is as much as one call compares: btrfs takes no more, in bytes.
const chunk = 16 << 20

// share asks the kernel to let the file to use the data of from. It returns how many
// bytes were equal, from the start.
func share(from, to file) (n int64, err error) {
	src, err := from.open()
	if err != nil {
		return 0, err
	}
	defer src.Close() // read only: nothing to lose
	dst, err := to.open()
	if err != nil {
		return 0, err
	}
	defer dst.Close() // opened for reading: nothing to lose
	for n < to.size {
		done, err := shareChunk(src, dst, n, min(chunk, to.size-n))
		if err != nil || done == 0 {
			return n, err
		}
		n += done
	}
	return n, nil
}

// shareChunk returns 0 for bytes that differ.
func shareChunk(src, dst *os.File, at, length int64) (int64, error) {
	for {
		r := unix.FileDedupeRange{
			Src_offset: uint64(at), Src_length: uint64(length),
			Info: []unix.FileDedupeRangeInfo{{Dest_fd: int64(dst.Fd()), Dest_offset: uint64(at)}},
		}
		err := unix.IoctlFileDedupeRange(int(src.Fd()), &r)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if status := r.Info[0].Status; err == nil && status < 0 {
			err = unix.Errno(-status)
		}
		switch {
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTTY):
			return 0, ErrUnsupported
		case err != nil:
			return 0, err
		case r.Info[0].Status == unix.FILE_DEDUPE_RANGE_DIFFERS:
			return 0, nil
		}
		return int64(r.Info[0].Bytes_deduped), nil
	}
}

// Of linux/fiemap.h.
const (
	fiemapCall    = 0xC020660B // FS_IOC_FIEMAP
	fiemapExtents = 128
	extentLast    = 0x1
	// What says that the place is not known, not whole blocks, or not written.
	extentVague = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
)

// fiemap is struct fiemap with room for extents.
type fiemap struct {
	start, length uint64
	flags         uint32
	mapped        uint32
	count         uint32
	_             uint32
	extents       [fiemapExtents]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// placeOf describes where the file's data lies on the disk: the same for files that
// share all of it. "" when that is not known, or is too long to tell.
func placeOf(f *os.File) string {
	m := fiemap{length: ^uint64(0), count: fiemapExtents}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fiemapCall, uintptr(unsafe.Pointer(&m)))
	if errno != 0 || m.mapped == 0 || m.mapped > fiemapExtents {
		return ""
	}
	var place []byte
	for _, e := range m.extents[:m.mapped] {
		if e.flags&extentVague != 0 {
			return ""
		}
		place = binary.BigEndian.AppendUint64(place, e.logical)
		place = binary.BigEndian.AppendUint64(place, e.physical)
		place = binary.BigEndian.AppendUint64(place, e.length)
	}
	if m.extents[m.mapped-1].flags&extentLast == 0 {
		return ""
	}
	return string(place)
}
