package image

import (
	"fmt"
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
