package layer

import (
	"errors"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// checkedReader passes a tar on and, at its end, compares the digest.
type checkedReader struct {
	io.ReadCloser
	id        ID
	want      DiffID
	algorithm digest.Algorithm
	hash      hash.Hash
}

// newCheckedReader makes one; want is valid.
func newCheckedReader(r io.ReadCloser, id ID, want DiffID) *checkedReader {
	a := digest.Digest(want).Algorithm()
	return &checkedReader{ReadCloser: r, id: id, want: want, algorithm: a, hash: a.Hash()}
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.hash.Write(p[:n])
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if got := DiffID(digest.NewDigest(r.algorithm, r.hash)); got != r.want {
		return n, corrupt(r.id, r.want, got)
	}
	return n, err
}
