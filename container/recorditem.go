package container

import (
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/bigdata"
)

// RecordItem makes the record say size and digest of a data item whose file is there
// already: for the second half of a replacement that was interrupted.
func (tx *WriteTx) RecordItem(id ID, key string, size int64, d digest.Digest) error {
	return tx.update(id, func(r *Record) {
		r.Inventory = bigdata.With(r.Inventory, key, size, d)
	})
}

// DataDir returns the directory of the container's data items and userdata that last.
func (tx *ReadTx) DataDir(id ID) string { return tx.store.DataDir(id) }
