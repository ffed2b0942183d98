package graphdriver

import "context"

// Restager is the optional power to prepare a change of a layer that is there, so that
// it can be made in one step.
type Restager interface {
	// Restage prepares a private place that begins with the files of layer id. Where the
	// file system can, they are further names of the layer's own, so that even a large layer
	// costs little; then a diff that would change one of them instead of replacing it
	// is an archive.ErrShared. With apart they are copies, for such diffs. The layer
	// must not change until Replace or Discard. ErrNotFound, ErrReadOnly; ErrUnsupported
	// where the file system can not exchange two directories in one step.
	Restage(ctx context.Context, id ID, apart bool) (Restaged, error)
	// Generation names the files that layer id has now. They get another name with each
	// Replace, and keep theirs while they are changed in place. Copying a store
	// changes all names.
	Generation(ctx context.Context, id ID) (string, error)
}

// Restaged is a stage for a layer that is there. It can not be adopted.
type Restaged interface {
	Replacer
	// Generation is what Restager.Generation says after Replace.
	Generation() (string, error)
}
