package bigdata

import (
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Inventory is what the record of an image or a container says about its data items.
// The order of the fields is the order of the keys on disk (on-disk format, 2.4, 2.5).
type Inventory struct {
	// BigDataNames are the keys of the data items, in the order of first setting.
	BigDataNames []string `json:"big-data-names,omitempty"`
	// BigDataSizes are the items' lengths in bytes.
	BigDataSizes map[string]int64 `json:"big-data-sizes,omitempty"`
	// BigDataDigests are the items' digests: of an image's "manifest…" items the
	// manifest digest, else SHA-256.
	BigDataDigests map[string]digest.Digest `json:"big-data-digests,omitempty"`
}

// DataSize sums the lengths of the data items in bytes.
func (v Inventory) DataSize() int64 {
	var sum int64
	for _, n := range v.BigDataSizes {
		sum += n
	}
	return sum
}

// ItemSize returns the recorded length of a data item in bytes; ErrSizeUnknown if
// there is none.
func (v Inventory) ItemSize(key string) (int64, error) {
	n, ok := v.BigDataSizes[key]
	if !ok {
		return 0, ErrSizeUnknown
	}
	return n, nil
}

// ItemDigest returns the recorded digest of a data item; ErrDigestUnknown if there
// is none.
func (v Inventory) ItemDigest(key string) (digest.Digest, error) {
	d, ok := v.BigDataDigests[key]
	if !ok {
		return "", ErrDigestUnknown
	}
	return d, nil
}

// With returns v with an item of that key, length and digest. It is no method: records
// have v's methods, and change by their transaction alone.
func With(v Inventory, key string, size int64, d digest.Digest) Inventory {
	if !slices.Contains(v.BigDataNames, key) {
		v.BigDataNames = append(slices.Clip(v.BigDataNames), key)
	}
	v.BigDataSizes = with(v.BigDataSizes, key, size)
	v.BigDataDigests = with(v.BigDataDigests, key, d)
	return v
}

// with returns a copy of m with one more entry: records are shared between
// transactions, so their maps are never written.
func with[V any](m map[string]V, key string, v V) map[string]V {
	out := maps.Clone(m)
	if out == nil {
		out = make(map[string]V, 1)
	}
	out[key] = v
	return out
}
