// Package recordfile keeps the records of a sub-store (layers, images,
// containers, mount counts): JSON arrays in one or more files behind one or more
// lock files, shared with other engines (on-disk format, 2.1, 2.8, 3.5, 3.6).
//
// A Store knows the files and locks. Its View gives a ReadTx, the records while
// the locks are held shared; its Begin gives a WriteTx, which holds them
// exclusively and can change records:
//
//	tx, err := store.Begin(ctx)
//	if err != nil {
//		return err
//	}
//	defer tx.Close() // drops what was not saved
//	if err := tx.Update(id, func(r *Record) error { r.Metadata = text; return nil }); err != nil {
//		return err
//	}
//	return tx.Commit(ctx)
//
// Files are read again only when somebody else wrote. What was read is a
// snapshot that never changes and that all transactions of the process share.
// Reading is one fast pass that checks the syntax and notes where the values of
// interest lie; a record is decoded when it is asked for.
//
// Writing keeps what strata does not know: records that did not change are
// written as they were read, byte for byte, and so are the unknown members and
// the unchanged values of those that did. A record stays in the file that it came
// from, and in its place there.
package recordfile
