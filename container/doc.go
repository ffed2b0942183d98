// Package container keeps the container records of a store and the data items and
// directories that belong to them (on-disk format, 2.5, 2.7, 7.6).
//
// A container is a writable layer with a record: the image that it was made from,
// names, labels, the engine's own text. Reads and changes are methods of a
// transaction, as in package image. The records stand in containers.json; those
// that newer engines made volatile are read from and kept in
// volatile-containers.json, while strata's own volatile containers stand in the
// stable file, where engines of either generation see them. Only a transient
// store's records, and its lock, are in the run root.
package container
