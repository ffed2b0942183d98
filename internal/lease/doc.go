// Package lease lets live processes keep objects from being collected.
//
// A lease says "this process needs that ID". It is not part of any record: it ends
// with its process, however that ends, so a killed holder leaks nothing.
//
// Each holder has one file in a directory that all processes of a store share. It
// is locked for as long as the holder lives (an open-file-description lock, which
// the kernel drops with the process), and lists the IDs:
//
//	pid 4711
//	+2f1d…      leased
//	-9bc0…      was leased once
//
// Lines are only ever appended, or changed in place; so giving a lease back needs
// no room on the disk. A file without a lock belongs to nobody and is swept. A file
// gets its final name after it was locked: whoever finds one unlocked may remove it.
//
// Leases say what is needed now; when somebody may look is up to the caller. The
// store takes leases while it holds its records locked in any mode, and reads those
// of others before it removes something, with the records locked exclusively.
// So there is no moment between finding an object and holding it.
package lease
