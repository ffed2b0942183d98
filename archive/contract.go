package archive

import (
	"io"

	"github.com/opencontainers/go-digest"
)

// Compression is how a stream is packed. The numbers are those of the store's
// records (on-disk format, 2.3, "compression").
type Compression int

// The compressions that are recognised; gzip, zstd and none can be written.
const (
	None  Compression = 0
	Bzip2 Compression = 1
	Gzip  Compression = 2
	Xz    Compression = 3
	Zstd  Compression = 4
)

// ChangeKind says what happened to a path. The numbers are those of the other
// engines' JSON.
type ChangeKind int

// The kinds of change.
const (
	Modified ChangeKind = 0
	Added    ChangeKind = 1
	Deleted  ChangeKind = 2
)

// Change is one changed path, absolute inside the layer ("/etc/passwd").
type Change struct {
	Path string
	Kind ChangeKind
}

// Limits cap what a stranger's tar may make. A zero field means the default of DefaultLimits.
type Limits struct {
	// MaxBytes is the most uncompressed bytes of one layer.
	MaxBytes int64
	// MaxRatio is the most uncompressed bytes for one compressed byte, looked at
	// after the first 64 MiB.
	MaxRatio int64
	// MaxEntries is the most tar entries.
	MaxEntries int64
	// MaxDepth is the most path components of a name.
	MaxDepth int
	// MaxHeader is the most bytes of one entry's extended headers.
	MaxHeader int64
}

// WhiteoutFormat is how a directory on disk marks deletions.
type WhiteoutFormat int

// The formats of a tree on disk; tars always use AUFS names (".wh.x").
const (
	// WhiteoutNone: a complete tree; applying a whiteout deletes (vfs).
	WhiteoutNone WhiteoutFormat = iota
	// WhiteoutTrusted: overlayfs as root: character device 0:0, trusted.overlay.opaque.
	WhiteoutTrusted
	// WhiteoutUser: overlayfs with userxattr: character device 0:0, user.overlay.opaque.
	WhiteoutUser
	// WhiteoutLiteral: ".wh." files kept as they are (fuse-overlayfs).
	WhiteoutLiteral
)

// Ingested is what was learned from reading one layer blob to its end.
type Ingested struct {
	// Blob and BlobSize are of the bytes as they came, Compression what they were packed with.
	Blob        digest.Digest
	BlobSize    int64
	Compression Compression
	// Diff and DiffSize are of the uncompressed tar.
	Diff     digest.Digest
	DiffSize int64
	// UIDs and GIDs are the distinct owners in the tar headers, ascending,
	// whiteouts not counted.
	UIDs, GIDs []uint32
	// Entries counts the tar's entries.
	Entries int64
}

// FileGetter opens the content of a regular file of a layer by its name in the tar.
type FileGetter interface {
	// Get returns the file's content; fs.ErrNotExist if there is none.
	Get(name string) (io.ReadCloser, error)
}

// FileGetCloser is a FileGetter that holds something open.
type FileGetCloser interface {
	FileGetter
	io.Closer
}
