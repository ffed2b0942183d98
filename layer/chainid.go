package layer

import (
	"github.com/opencontainers/go-digest"
)

// Child returns the chain ID of a layer with the given diff ID on top of c; ""
// stands for no layer below.
func (c ChainID) Child(diff DiffID) ChainID {
	if c == "" {
		return ChainID(diff)
	}
	return ChainID(digest.FromString(string(c) + " " + string(diff)))
}

// ChainIDs returns the chain ID of each layer of a stack, base first.
func ChainIDs(diffs []DiffID) []ChainID {
	chains := make([]ChainID, len(diffs))
	var below ChainID
	for i, diff := range diffs {
		below = below.Child(diff)
		chains[i] = below
	}
	return chains
}
