package image

import (
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/layer"
)

// SetDigest makes the record name another digest by which the image is found, for a repair. The
// change is saved by Commit.
func (tx *WriteTx) SetDigest(id ID, d digest.Digest) error {
	return tx.update(id, func(r *Record) error {
		r.Digest = d
		return nil
	})
}

// SetTopLayer makes the record name another top layer, for a repair that has proof of it. The
// change is saved by Commit.
func (tx *WriteTx) SetTopLayer(id ID, top layer.ID) error {
	return tx.update(id, func(r *Record) error {
		r.TopLayer = top
		return nil
	})
}
