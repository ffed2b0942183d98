// Package lockfile is the lock and last-writer protocol that strata shares with
// the other engines on the same store (on-disk format, chapter 3).
//
// A Lock names a file. Locking it gives a Held, the proof of holding the lock,
// and releasing the Held gives it back:
//
//	l := lockfile.New("/var/lib/containers/storage/overlay-layers/layers.lock", lockfile.Options{})
//	held, err := l.Exclusive(ctx)
//	if err != nil {
//		return err
//	}
//	defer held.Unlock()
//
// The locks are advisory record locks over the whole file that belong to the
// open file description (F_OFD_SETLK, fcntl_locking(2)): they exclude the
// classic per-process locks of the other engines and are excluded by them, but
// do not get lost when some library in the process closes another descriptor of
// the file. Every Held has a descriptor of its own, so a Lock excludes within
// the process as well. A process that dies, however it dies, has let go.
//
// The file's content is the last writer's Token. Whoever is about to change what
// the lock protects calls Held.Touch first; whoever keeps a copy of it in memory
// compares Held.Token with the one that the copy was read under.
//
// Locks are not recursive: a goroutine that holds a Lock in any mode must not ask
// for it again, because a writer that waits in between would block both.
package lockfile
