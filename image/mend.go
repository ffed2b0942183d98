package image

import "github.com/opencontainers/go-digest"

// SetDigest makes the record name another digest by which the image is found, for a repair. The
// change is saved by Commit.
func (tx *WriteTx) SetDigest(id ID, d digest.Digest) error {
	return tx.update(id, func(r *Record) error {
		r.Digest = d
		return nil
	})
}
