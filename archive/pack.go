package archive

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

// Errors of packing and comparing.
var (
	// ErrFileChanged: a file was longer or shorter than its header says by the time
	// that its content was read. The tar is whole, but that file's content is not.
	ErrFileChanged = errdefs.New(errdefs.ErrInUse, "file changed while it was read")
	// ErrNeedsMount: an upper directory holds files or directories that can not be
	// understood without the kernel (metacopy, redirect). Compare the mounted trees.
	ErrNeedsMount = errdefs.New(errdefs.ErrUnsupported, "layer can only be compared while mounted")
)

// PackOptions say how a tree becomes a tar. The zero value packs a complete tree.
type PackOptions struct {
	// Mapping is the tree's own: owners are translated from the host's to the container's.
	Mapping idmap.Mapping
	// Whiteouts is how the tree on disk marks deletions.
	Whiteouts WhiteoutFormat
	// Lowers are the directories below an overlay's upper directory, nearest parent
	// first. Pack writes an opaque mark only for a path that they have.
	Lowers []string
	// Logger gets a line for everything that has to be left out; nil: nobody does.
	Logger *slog.Logger
}

// paxXattr is the key under which tars keep extended attributes (star, GNU tar
// and the other engines); the values are raw bytes.
const paxXattr = "SCHILY.xattr."

// hasMarkName reports whether unpacking would take some component of an absolute
// path for a whiteout.
func hasMarkName(path string) bool { return strings.Contains(path, "/"+whiteoutPrefix) }

// blockPool hands out blocks of memory of one size, which are used again. It is
// safe for concurrent use.
type blockPool struct {
	size int
	pool sync.Pool
}

// contentBuffers are for the contents of files.
var contentBuffers = blockPool{size: 1 << 20}

func (p *blockPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

func (p *blockPool) put(b *[]byte) { p.pool.Put(b) }
