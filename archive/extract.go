package archive

import (
	"io/fs"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

// ExtractOptions say how a layer tar becomes a directory tree. The zero value
// unpacks onto a complete tree, with the owners of the headers.
type ExtractOptions struct {
	// Whiteouts is how the tree marks deletions.
	Whiteouts WhiteoutFormat
	// Mapping translates the headers' owners to the host's. An owner that it does
	// not have is an error (idmap.ErrUnmapped).
	Mapping idmap.Mapping
	// Limits cap the tar; a *Stream has its own, which count instead.
	Limits Limits
	// IgnoreChownErrors keeps going where the system refuses an owner.
	IgnoreChownErrors bool
	// ForceMode gives every file and directory these permissions and no owner; the
	// header's go into the xattr user.containers.override_stat, and devices and
	// fifos become empty files (on-disk format, 4.8). nil: as the headers say.
	ForceMode *fs.FileMode
	// NoDevices leaves out block and character devices, and links to them.
	NoDevices bool
	// ApplyRoot lets an entry for the root set the directory's own mode, owner,
	// times and xattrs (vfs). Otherwise such an entry does nothing.
	ApplyRoot bool
	// Shared says that what the directory has before, other than directories, has names
	// outside of it, too. It is replaced as ever, but a link to it is an ErrShared, since
	// the entry could change it.
	Shared bool
	// Workers is how many goroutines write small files; 0: by the number of CPUs.
	Workers int
}

// ErrShared is about an entry that is a hard link to something of another tree; see
// ExtractOptions.Shared.
var ErrShared = errdefs.New(errdefs.ErrUnsupported, "hard link to a file that another tree has, too")
