package archive

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"

	"github.com/stratastore/strata/errdefs"
)

// detectLen is how many bytes Detect needs to know every format.
const detectLen = 6

// Detect says how a stream is packed by its first bytes; six are enough. What
// it does not know, and nothing at all, is None (on-disk format, 6.1).
func Detect(prefix []byte) Compression {
	switch {
	case bytes.HasPrefix(prefix, []byte("BZh")):
		return Bzip2
	case bytes.HasPrefix(prefix, []byte{0x1f, 0x8b, 0x08}):
		return Gzip
	case bytes.HasPrefix(prefix, []byte{0xfd, '7', 'z', 'X', 'Z', 0x00}):
		return Xz
	case bytes.HasPrefix(prefix, []byte{0x28, 0xb5, 0x2f, 0xfd}), skippable(prefix):
		return Zstd
	}
	return None
}

// skippable recognises a zstd skippable frame, with which parallel packers begin
// (RFC 8878, 3.1.2: 0x184D2A50 to 0x184D2A5F, little endian).
func skippable(prefix []byte) bool {
	return len(prefix) >= 4 && prefix[0]&0xf0 == 0x50 && bytes.Equal(prefix[1:4], []byte{0x2a, 0x4d, 0x18})
}

// String returns the compression's name: "none", "gzip", "bzip2", "xz", "zstd".
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case Bzip2:
		return "bzip2"
	case Gzip:
		return "gzip"
	case Xz:
		return "xz"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", int(c))
}

// Extension returns the file name extension of a tar that is packed with c,
// without a dot in front; "" for what is not a compression.
func (c Compression) Extension() string {
	switch c {
	case None:
		return "tar"
	case Bzip2:
		return "tar.bz2"
	case Gzip:
		return "tar.gz"
	case Xz:
		return "tar.xz"
	case Zstd:
		return "tar.zst"
	}
	return ""
}

// Compress returns a writer that packs onto w on all CPUs. Close ends the
// packed stream and leaves w open; without it the result is cut and goroutines
// stay behind. The same input gives the same output. Formats other than gzip,
// zstd and None can only be read: errdefs.ErrUnsupported.
func Compress(w io.Writer, c Compression) (io.WriteCloser, error) {
	switch c {
	case None:
		return plainWriter{w}, nil
	case Gzip:
		return pgzip.NewWriter(w), nil
	case Zstd:
		zw, err := zstd.NewWriter(w)
		if err != nil {
			return nil, fmt.Errorf("set up zstd: %w", err)
		}
		return zw, nil
	}
	return nil, fmt.Errorf("%w: unsupported compression format %s", errdefs.ErrUnsupported, c.Extension())
}

// plainWriter adds a Close that does nothing.
type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }
