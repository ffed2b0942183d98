// Package strata is a store of container images, layers and containers on Linux.
// It reads and writes the store of Podman, Buildah, Skopeo and CRI-O in place,
// beside them and under the same locks.
//
// # Terms
//
// A layer is a set of changes to a directory tree, with a record. It stands on its
// parent layer; the layers from one down to its base are its stack. A layer that
// came in as a tar knows the tar's digest (diff ID) and gives back exactly that
// tar. An image is a top layer with data items (manifest, config) and names. A
// container is a writable layer on top of an image's, with a record of its own.
// A graph driver keeps the layers' files and makes a stack visible as one tree
// (mounts it). The graph root holds all that lasts, the run root what goes away
// with a reboot.
//
// # A story
//
// Open finds or makes a store. ImportLayer reads a layer's tar, unpacks it with no
// lock held and adopts it in a short transaction; the next layer names it as
// Parent. CreateImage gives the stack a name and its manifest, all in one save.
// CreateContainer puts a writable layer on top, Mount shows its tree, programs
// change it, Changes and Diff tell what they did, Unmount hides it again.
// DeleteContainer and DeleteImage take everything away that nothing else needs.
//
// # Naming
//
// Where a method takes a nameOrID, it takes an exact ID, else an exact name, else
// a unique prefix of an ID. The three kinds have name spaces of their own; methods
// that take any kind say in which order they look.
//
// # Sharing
//
// A Store may be used by many goroutines, and a store by many processes and
// engines at once. Methods take the locks that they need, in one order, and hold
// them briefly: never while a tar is read, hashed or unpacked. A lock that another
// process holds is waited for; the context ends the wait.
//
// Errors belong to the few kinds of package errdefs, and to the sentinels of this
// package and of layer, image and container; ask with errors.Is. A method that
// fails or is cancelled leaves nothing behind but what a later Open or transaction
// clears away by itself.
package strata
