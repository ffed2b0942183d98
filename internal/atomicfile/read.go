package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// maxRead bounds what Read takes into memory, in bytes.
const maxRead = 256 << 20

// Read returns a whole file. Only a regular file is read: something else in its place is an
// errdefs.ErrCorrupt, one with more than 256 MiB an errdefs.ErrLimit. Links are not followed,
// and nobody is waited for at a FIFO.
func Read(path string) (_ []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%s is no regular file: %w", path, errdefs.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: %w", path, errdefs.ErrCorrupt)
	}
	if info.Size() > maxRead {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), errdefs.ErrLimit)
	}
	return io.ReadAll(io.LimitReader(f, maxRead))
}
