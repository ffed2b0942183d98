package reserve

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Floor is how much of a file system has to stay free of what comes in from
// outside. The zero value lets everything in.
type Floor struct {
	// Dir is any directory of the file system.
	Dir string
	// Bytes have to stay available to ordinary users; 0: none.
	Bytes int64
}

// Check returns an ENOSPC that names the floor when there is less. A file system
// that does not say how much there is has no floor.
func (f Floor) Check() error {
	var st unix.Statfs_t
	if f.Bytes <= 0 {
		return nil
	}
	if err := unix.Statfs(f.Dir, &st); err != nil {
		return nil //nolint:nilerr // see above
	}
	free := int64(min(st.Bavail, 1<<62/uint64(max(1, st.Bsize)))) * st.Bsize
	if free >= f.Bytes {
		return nil
	}
	return fmt.Errorf("%d bytes are free on the file system of %s, and %d have to stay free: %w", free, f.Dir, f.Bytes, unix.ENOSPC)
}

// Reader checks the floor before every read from r.
func (f Floor) Reader(r io.Reader) io.Reader {
	if f.Bytes <= 0 || r == nil {
		return r
	}
	return &floorReader{floor: f, r: r}
}

type floorReader struct {
	floor Floor
	r     io.Reader
}

func (f *floorReader) Read(p []byte) (int, error) {
	if err := f.floor.Check(); err != nil {
		return 0, err
	}
	// What a read brings may unpack to a thousand times of it.
	return f.r.Read(p[:min(len(p), unit)])
}
