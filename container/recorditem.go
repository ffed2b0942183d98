package container

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// RecordItem makes the record say size and digest of a data item whose file is there
// already: for the second half of a replacement that was interrupted.
func (tx *WriteTx) RecordItem(id ID, key string, size int64, d digest.Digest) error {
	return tx.update(id, func(r *Record) {
		if _, known := r.BigDataSizes[key]; !known {
			r.BigDataNames = append(slices.Clip(r.BigDataNames), key)
		}
		sizes, digests := maps.Clone(r.BigDataSizes), maps.Clone(r.BigDataDigests)
		if sizes == nil {
			sizes = map[string]int64{}
		}
		if digests == nil {
			digests = map[string]digest.Digest{}
		}
		sizes[key], digests[key] = size, d
		r.BigDataSizes, r.BigDataDigests = sizes, digests
	})
}

// DataDir returns the directory of the container's data items and userdata that last.
func (tx *ReadTx) DataDir(id ID) string { return tx.store.DataDir(id) }
