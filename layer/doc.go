// Package layer keeps the layers of a store: their records, their place in a
// graph driver, what gives back their exact tars, and their mount counts. The
// files and locks are those that the other engines use, at the same time
// (on-disk format, 2.3, 2.6 to 2.10, 3).
//
// # Terms
//
// A layer is a change set with a record. Its parent is the layer that the changes
// are against; a stack is a layer with all below it. Lists of stacks say whether
// they go base first or top first.
//
// An ID is a layer's key in this store. A DiffID is the digest of its uncompressed
// tar, a BlobDigest that of the tar as it came, a ChainID stands for a whole stack.
// They are different types, so that one can not be passed for the other.
//
// Layers of images come as tars and have digests. Writable layers, those of
// containers, are made empty and have none; their tar is computed when asked for.
//
// # Transactions
//
// Records are read and changed through transactions: having one is holding the
// locks. View gives a ReadTx (shared locks), Begin a WriteTx (exclusive locks).
// Both are short: nothing slow is a method of theirs. What is slow (Stage, Diff,
// Changes, DiffSize, ApplyDiff) and what needs storage.lock first (Mount,
// Unmount) are methods of the Store and must be called without a transaction.
//
// # A layer comes in
//
//	st, err := store.Stage(ctx, layer.StageOptions{Parent: parent}, blob)
//	if err != nil {
//		return err
//	}
//	defer st.Discard() // nothing once adopted
//	if err := st.Sync(ctx); err != nil {
//		return err
//	}
//	tx, err := store.Begin(ctx) // short from here on
//	if err != nil {
//		return err
//	}
//	defer tx.Close() // undone unless committed
//	id := layer.ImageLayerID(parent, st.DiffID())
//	l, err := tx.Adopt(ctx, st, layer.CreateOptions{ID: id})
//	if errors.Is(err, layer.ErrDuplicateID) {
//		return tx.Close() // another process was faster: its layer will do
//	}
//	if err != nil {
//		return err
//	}
//	return tx.Commit(ctx)
//
// What is on the disk at each point, and what a crash there leaves:
//
//	stage being filled        temp directories, swept by the next opener
//	flagged record saved      the next load of any engine removes record and content
//	tree and tar-split in     the same
//	record without flag       a complete layer, durable
//
// # A layer goes
//
// WriteTx.Delete flags the record and saves, renames content, tar-split and data
// items into temp directories, drops the record and saves. The bytes are deleted
// by the function it returns, which the caller runs when no lock is held any more.
// A crash leaves a flagged record, or temp directories, or nothing.
//
// # Layers by chain ID
//
// ChainStore is the same store as Docker's engine sees its own: Register a tar on a
// parent, Get references, Release them, and the layer goes with the last one.
//
// A layer is kept by records: a layer on top of it, an image, a container; and by
// references, which are leases of their process (internal/lease) and end with it.
// Only layers with the flag FlagCollectable go by themselves: those that Register
// made, and those that were somebody's image when that was deleted. Release removes
// such a layer when it took away the last that kept it. Layers that others made (a
// pull that is not finished has no image yet) are given back and stay.
//
// When a process ends without giving back, killed or not, its registered layers stay,
// kept by nothing, for the next one that asks for them: so a cache outlives the
// program that fills it. Collect removes them, and so does the store's GC. Other
// engines see registered layers as any others; they know no leases, so that an engine
// that deletes an image takes its layers with it, references or not. Release then says
// that nothing was removed.
//
// Read-write layers (CreateRWLayer) are records with a name among their flags. They
// stay until the last reference is given back to ReleaseRWLayer, whatever becomes of
// the process that made them. An init layer is a record of its own, "<mount ID>-init".
//
// Where this differs from Docker's engine: the cache ID is the ID that all engines
// derive and not random; the diff size is the length of the tar; a release that fails
// midway returns what went, and the rest is removed by the next opener; a tail that
// fails after the end of the archive fails the registration.
//
//	registration being unpacked     temp directories, swept by the next opener
//	registered, reference held      layer and lease; the lease is void when the process is gone
//	releasing: records flagged      the next load removes record and content
//	releasing: partly removed       the same for the rest; parents without users wait for Collect
//	init layer made, no layer yet   Cleanup removes it once its maker is gone
//
// # Exact tars
//
// Beside each layer that came as a tar lies a tar-split: headers and padding, and
// a checksum of each file (on-disk format, 2.10). Diff puts them together with the
// files again and compares the result with the diff ID. See Store.Diff for what
// happens to a reader whose layer is deleted.
package layer
