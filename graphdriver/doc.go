// Package graphdriver is the contract between the layer store and the code that
// keeps layers on a file system, with the registry that picks a driver.
//
// # Terms
//
// A driver keeps layers as opaque names (ID) in its home, <graph root>/<driver>.
// It knows no digests, no images and no records: who refers to a layer, what it
// is called and whether it is complete is the layer store's business. A layer
// stands on at most one parent; Get makes the merged tree of a layer and all its
// ancestors visible as a directory, and Put takes it away again.
//
// ProtoDriver is the least that a driver does. Driver adds the four methods that
// deal in tars (Differ). NaiveDiff makes the second from the first by comparing
// mounted trees, so a new driver starts with ProtoDriver and replaces what it
// can do better. Everything else is an optional power, a one- or two-method
// interface that the layer store asks for by a type assertion: Stager, Trasher,
// Lister, DiffGetter, MountState, Capable.
//
// # A layer's life
//
// An importer fills a layer before it has a name, with no lock held:
//
//	st, err := driver.Stage(ctx, parent, opts)   // private place; vfs copies the parent here
//	defer st.Discard()                           // nothing once adopted
//	n, err := st.ApplyDiff(ctx, tar, applyOpts)  // the slow part
//	err = st.Sync(ctx)                           // durable before any record says so
//	... the layer store takes its lock and writes the flagged record ...
//	err = st.Adopt(ctx, id)                      // one rename
//
// A container's layer is made by Create, shown by Get, and its changes come out
// with Diff against its parent. Deleting goes the other way round: Trash renames
// the layer out of the home under the lock, and the bytes die after the lock is
// released. A process that is killed at any point leaves at most a stale
// directory in <home>/tempdirs, which the next Open removes (package
// internal/tempdir, on-disk format 3.7).
//
// # Choice
//
// A Registry is an explicit table; nothing registers itself. Registry.Open picks
// the named driver, else the one whose state is there, else the first of a
// priority list that works, and always says why. See Registry.Open for the rules.
package graphdriver
