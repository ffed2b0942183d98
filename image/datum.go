package image

import (
	"fmt"
	"maps"
	"strings"

	"github.com/opencontainers/go-digest"
)

// digest returns the item's digest as it is recorded.
func (it BigDatum) digest() (digest.Digest, error) {
	if it.Digest != "" {
		if err := it.Digest.Validate(); err != nil {
			return "", fmt.Errorf("data item %q: %w", it.Key, invalidDigest(it.Digest, err))
		}
		return it.Digest, nil
	}
	if strings.HasPrefix(it.Key, manifestPrefix) {
		return ManifestDigest(it.Data)
	}
	return digest.FromBytes(it.Data), nil
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
