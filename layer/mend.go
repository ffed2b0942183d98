package layer

// SetParent makes the record name another layer below, for a repair that has proof of it (on-disk
// format, 7.1: the IDs of images' layers follow from those below). ErrUnknown for a layer that
// is not there. The change is saved by Commit.
func (tx *WriteTx) SetParent(id, parent ID) error {
	return tx.update(id, func(r *Record) { r.Parent = parent })
}

// SetDiffSize makes the record say how long the layer's tar is, for a repair that has read
// the tar. The change is saved by Commit.
func (tx *WriteTx) SetDiffSize(id ID, size int64) error {
	return tx.update(id, func(r *Record) { r.DiffSize = size })
}

// SetDiffID makes the record name the digest and length of the layer's tar, for a repair that has
// read the tar. The change is saved by Commit.
func (tx *WriteTx) SetDiffID(id ID, diff DiffID, size int64) error {
	return tx.update(id, func(r *Record) { r.DiffID, r.DiffSize = diff, size })
}
