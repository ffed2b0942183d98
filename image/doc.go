// Package image keeps the image records of a store and the data items that belong
// to them (on-disk format, 2.4, 2.7, 7.3).
//
// An image is a name for a stack of layers: its top layer, its manifest and config
// as data items, its names. Reads and changes are methods of a transaction, so
// holding the lock is having the value:
//
//	st, err := store.Stage(ctx, opts) // slow: data items to disk, no lock held
//	...
//	defer st.Discard() // does nothing once adopted
//	tx, err := store.Begin(ctx)
//	...
//	defer tx.Close() // drops what is not committed
//	img, err := tx.Adopt(ctx, st, top)
//	...
//	return img, tx.Commit(ctx)
//
// The data items are on disk before one save makes the complete record visible.
// A process that is killed in between leaves a staging directory, which a later
// process removes, or a data directory that no record speaks of; never half an
// image, which would make the other engines fail as a whole.
//
// A store has one or two directories that are written (the second when there is a
// separate image store) and any number that are only read. Each has its own lock.
package image
