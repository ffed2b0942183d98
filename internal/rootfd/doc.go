// Package rootfd resolves names inside a directory that it holds open.
//
// A Root pins a directory by descriptor. Every name given to it is relative,
// is cleaned by Clean, and is resolved by the kernel beneath that directory
// without following any symbolic link: a link in the middle of a name is an
// error and a link at its end is the object itself. What is handed out are
// descriptors and operations, never path strings, so a link that somebody
// swaps in between two calls has nothing to act on.
//
//	root, err := rootfd.Open(dir, rootfd.Options{})
//	...
//	defer root.Close()
//	if err := root.Mkdir("var", 0o755); err != nil { ... }
//	f, err := root.OpenFile("var/state", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
//
// Dir is one open directory of the tree. Its methods take base names and are
// single system calls relative to it where the kernel has one; work on many
// entries of one directory goes through Dir, and Root's methods are the same
// operations on whole names.
//
// Root's methods return *fs.PathError with the cleaned name and the system's error
// number. Dir's and FD's return the bare number, since their caller knows the whole name. A symbolic
// link in the middle of a name gives ELOOP, anything else that is not a
// directory ENOTDIR.
package rootfd
