package image

import (
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/bigdata"
)

// RecordItem makes the record say size and digest of a data item whose file is there
// already: for the second half of a replacement that was interrupted.
func (tx *WriteTx) RecordItem(id ID, key string, size int64, d digest.Digest) error {
	return tx.update(id, func(r *Record) error {
		r.Inventory = bigdata.With(r.Inventory, key, size, d)
		return nil
	})
}

// RecordedDigest is what the record of the item says: the given digest, that of a
// manifest, or that of the bytes.
func (it BigDatum) RecordedDigest() (digest.Digest, error) { return it.digest() }

// DataDir returns the directory of the image's data items.
func (tx *ReadTx) DataDir(i Image) string { return tx.store.DataDir(i) }
