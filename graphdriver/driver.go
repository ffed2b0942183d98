package graphdriver

import (
	"context"
	"io"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/idmap"
)

// ProtoDriver is the least that a driver does: make, remove and show layers as
// directories. NaiveDiff turns one into a Driver.
//
// All methods are safe for concurrent use on different IDs; the driver
// serialises calls for one ID itself. IDs are validated before they become
// paths; a bad one is an errdefs.ErrInvalid. A cancelled call leaves nothing but
// what Cleanup removes. Errors give the cause; which layer was asked for and what
// for is the caller's to say.
type ProtoDriver interface {
	// Name is the registered name: "overlay", "vfs".
	Name() string
	// Create makes an empty layer on top of parent ("" for a base layer). It is
	// an ErrExists if the layer is there, an ErrNotFound if the parent is not. A layer of
	// that ID in a read-only store is no obstacle: the new one comes first from now on.
	// Everything that it makes is synced when it returns, if the driver was
	// opened with SyncFilesystem.
	Create(ctx context.Context, id, parent ID, opts CreateOptions) error
	// Remove deletes the layer, unmounting it first. A layer that does not exist
	// is success; an empty ID is an error.
	Remove(ctx context.Context, id ID) error
	// Get makes the layer's merged tree visible and returns its absolute path.
	// Gets are counted per ID in this process; when the first Get of a process
	// finds the layer mounted already (by another process), the count starts from
	// one, so that Get and Put leave that mount alone.
	Get(ctx context.Context, id ID, opts MountOptions) (string, error)
	// Put undoes one Get; the last one unmounts. Put of a layer that this process
	// never got unmounts it if it is mounted, and is success if it is not.
	Put(ctx context.Context, id ID) error
	// Exists tells of the layer, not of a mount.
	Exists(ctx context.Context, id ID) (bool, error)
	// Status returns key and value pairs for people, always in the same order.
	Status() []StatusItem
	// Metadata returns the driver's facts about one layer (directories).
	Metadata(ctx context.Context, id ID) (map[string]string, error)
	// Cleanup releases what the driver holds in this process (the private mount of
	// its home). Layers and their mounts stay.
	Cleanup(ctx context.Context) error
}

// Differ turns layers into tars and back. Parent "" stands for the empty tree.
type Differ interface {
	// Diff returns the changes of id against parent as an uncompressed tar with
	// AUFS whiteouts. The caller closes it; closing early is fine and stops the work.
	Diff(ctx context.Context, id, parent ID, opts DiffOptions) (io.ReadCloser, error)
	// Changes lists what id changed against parent, sorted by path.
	Changes(ctx context.Context, id, parent ID, opts DiffOptions) ([]archive.Change, error)
	// DiffSize returns the bytes of regular file content in id that parent has not.
	DiffSize(ctx context.Context, id, parent ID, opts DiffOptions) (int64, error)
	// ApplyDiff unpacks an uncompressed layer tar into id, whose parent is parent,
	// and returns the bytes of file content. It reads at least to the end-of-archive
	// marker; the caller drains what follows. Owners in the tar are container-side.
	ApplyDiff(ctx context.Context, id, parent ID, diff io.Reader, opts ApplyOptions) (int64, error)
}

// Driver is what a layer store works on.
type Driver interface {
	ProtoDriver
	Differ
}

// Stager is the optional power to fill a layer before it exists, without any
// lock held, and to adopt it later by a rename.
type Stager interface {
	// Stage prepares a private place for a layer on top of parent. The parent
	// must stay until Adopt or Discard.
	Stage(ctx context.Context, parent ID, opts CreateOptions) (Staged, error)
}

// Staged is a layer that has no ID yet. It is not safe for concurrent use.
type Staged interface {
	// ApplyDiff is Differ.ApplyDiff into the staged tree.
	ApplyDiff(ctx context.Context, diff io.Reader, opts ApplyOptions) (int64, error)
	// Sync makes the staged tree durable. Call it before taking any lock.
	Sync(ctx context.Context) error
	// Adopt turns the staged tree into layer id; ErrExists if there is one. After
	// an error the stage is still there and Discard removes it.
	Adopt(ctx context.Context, id ID) error
	// Discard removes the staged tree; after Adopt it only releases the place.
	// Always safe to defer.
	Discard() error
}

// Trasher is the optional power to take a layer away at once and delete its
// bytes later, when no lock is held.
type Trasher interface {
	// Trash unmounts the layer and moves it out of the driver's home. The returned
	// function deletes the bytes; when it never runs, a later Open does it.
	// A layer that does not exist is success.
	Trash(ctx context.Context, id ID) (remove func() error, err error)
}

// Lister is the optional power to list the layers in the driver's home, sorted.
type Lister interface {
	List(ctx context.Context) ([]ID, error)
}

// DiffGetter is the optional power to open single files of a layer's own diff,
// to put its tar together again.
type DiffGetter interface {
	// DiffGetter returns a getter that the caller closes. Names are those of the
	// layer's tar; a name is looked up in the layer itself first and then in the
	// layers below (mapped copies keep their content there).
	DiffGetter(ctx context.Context, id ID) (archive.FileGetCloser, error)
}

// MountState is the optional power to tell whether a layer is mounted now,
// by the kernel's mount table and not by a count.
type MountState interface {
	// Mounted reports whether the layer's mount point is mounted, and the path
	// that Get would return. Drivers that never mount (vfs) report true for a layer
	// that exists.
	Mounted(ctx context.Context, id ID) (path string, mounted bool, err error)
}

// Healer is the optional power to mend what the driver itself notes about how
// layers stand on each other, from what the records say.
type Healer interface {
	// Heal checks the notes about chain, a layer followed by all its ancestors,
	// nearest first, and writes those again that were lost or cut. Notes that
	// are whole but contradict the records stay and are an ErrCorrupt. Use it when
	// another method returned an ErrCorrupt, with the layers locked against
	// creation and deletion, and call that method again.
	Heal(ctx context.Context, chain []ID) (changed bool, err error)
}

// Shifter is the optional power to shift the owners of a layer's files while it
// is mounted (idmapped mounts), so that layers are stored with the owners of
// their tars and MountOptions.Mapping does the rest.
type Shifter interface {
	// CanShift reports whether Get can honour m.
	CanShift(m idmap.Mapping) bool
}

// Capabilities are the flags of a driver that has a say in how layers are stored.
type Capabilities struct {
	// ReproducesExactDiffs: Diff against the direct parent returns the very bytes
	// that ApplyDiff was given, so no tar-split is kept.
	ReproducesExactDiffs bool
	// CopiesParent: Create copies the parent's whole tree, so an empty layer is
	// better staged than created under a lock.
	CopiesParent bool
	// Reowns: the driver honours CreateOptions.Reown. Others are never given it.
	Reowns bool
}

// Capable is implemented by drivers with Capabilities other than the zero value.
type Capable interface {
	Capabilities() Capabilities
}

// StatusItem is one line of Status.
type StatusItem struct{ Key, Value string }

// CreateOptions describe a new layer.
type CreateOptions struct {
	// Mapping is the layer's own: its root directory belongs to the mapped root.
	Mapping idmap.Mapping
	// MountLabel is the SELinux label that the layer will be mounted with.
	MountLabel string
	// Reown, when not nil, is what the parent's files are shifted by, other than Mapping. The
	// new layer gets a copy of every file that is visible in its parent, with owners that
	// Mapping gives them (on-disk format, 4.6; see idmap.Move for those that it has no place
	// for). Such a layer is better staged than created under a lock.
	Reown *idmap.Mapping
	// StorageOpt holds per-layer options ("size"); unknown keys are errors.
	StorageOpt map[string]string
	// Image is set for read-only layers of images; with a separate image store they
	// are made there.
	Image bool
}

// Move returns the change of owners that Reown asks for; the zero Move without it.
func (o CreateOptions) Move() idmap.Move {
	if o.Reown == nil {
		return idmap.Move{}
	}
	return idmap.Move{From: *o.Reown, To: o.Mapping}
}

// MountOptions describe one Get.
type MountOptions struct {
	// Mapping, when not empty, asks for an ID-shifted view (idmapped mount).
	Mapping idmap.Mapping
	// MountLabel is added as SELinux context when not empty.
	MountLabel string
	// Options replace the configured mount options when not nil.
	Options []string
	// ReadOnly mounts without an upper directory.
	ReadOnly bool
	// Volatile asks the kernel to skip syncing where it can.
	Volatile bool
}

// DiffOptions belong to Diff, Changes and DiffSize.
type DiffOptions struct {
	// Mapping is the layer's own: owners come out container-side.
	Mapping idmap.Mapping
	// ParentMapping is the parent's.
	ParentMapping idmap.Mapping
	// MountLabel is used when the trees have to be mounted.
	MountLabel string
}

// ApplyOptions belong to ApplyDiff.
type ApplyOptions struct {
	// Mapping translates the owners in the tar to the host's.
	Mapping idmap.Mapping
	// Limits cap what the tar may make; the zero value means the defaults.
	Limits archive.Limits
}
