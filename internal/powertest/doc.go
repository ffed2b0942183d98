// Package powertest holds tests of what a disk can do to a store: lose power at
// any instant, and fill up. It has no code besides its tests.
//
// A test's disk is a file that the test itself serves over FUSE (recorder), with a
// loop device and a real file system on top. The loop device turns the file
// system's barriers into fsync of its backing file, so the recorder sees each write
// and each flush in order and can afterwards make the disk as a power cut at any
// point of that log may leave it: everything before the last flush, and of what was
// written since any part, torn between sectors. Each such image is mounted, which
// replays the file system's journal, and examined by a fresh process.
//
// Mounts live in a mount namespace of the test's own and end with it, whatever
// happens to the test.
//
// STRATA_FAULTS=whole runs everything at full length (make faults); -short leaves
// most of it out.
package powertest
