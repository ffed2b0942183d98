package layer

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/recordfile"
)

// chains are the chain IDs of the layers that were asked about so far, for one
// state of the records. Nothing is computed before it is asked for: a program
// that looks at one layer pays for that layer's stack only. Safe for concurrent use.
type chains struct {
	mu      sync.Mutex
	of      map[ID]ChainID // "" for a layer that has none
	byChain map[ChainID][]ID
}

func newChains() *chains { return &chains{of: map[ID]ChainID{}} }

// chainCache keeps the chains of the newest state of the records, so that a
// long-running program computes them once.
type chainCache struct {
	mu       sync.Mutex
	versions []recordfile.Version
	chains   *chains
}

// at returns the chains for a state of the records.
func (c *chainCache) at(versions []recordfile.Version) *chains {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.chains == nil || !slices.Equal(c.versions, versions) {
		c.versions, c.chains = versions, newChains()
	}
	return c.chains
}

// chainIndex returns the transaction's chains.
func (tx *ReadTx) chainIndex() *chains {
	if tx.chains == nil {
		versions := make([]recordfile.Version, len(tx.views))
		for i, v := range tx.views {
			versions[i] = v.Version()
		}
		tx.chains = tx.store.chains.at(versions)
	}
	return tx.chains
}

// links returns what a chain ID is made of, without decoding the record. Flagged
// layers have no diff ID to speak of.
func (tx *ReadTx) links(id ID) (parent ID, diff DiffID, known bool) {
	v := tx.holder(id)
	if v == nil {
		return "", "", false
	}
	if slices.Contains(v.Values(byIncomplete, string(id)), "true") {
		return "", "", true
	}
	return ID(first(v.Values(byParent, string(id)))), DiffID(first(v.Values(byDiff, string(id)))), true
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// chain returns the layer's chain ID, or "".
func (tx *ReadTx) chain(id ID) ChainID {
	index := tx.chainIndex()
	index.mu.Lock()
	defer index.mu.Unlock()
	return index.get(tx, id)
}

// link is one layer on the way down a stack.
type link struct {
	id   ID
	diff DiffID
}

// get returns the chain ID of id, or "" if it has none, and remembers those of all
// layers between it and the next one known below.
func (c *chains) get(tx *ReadTx, id ID) ChainID {
	path, below, whole := c.descend(tx, id)
	for _, l := range slices.Backward(path) {
		if whole {
			below = below.Child(l.diff)
		}
		c.of[l.id] = below
	}
	return below
}

// descend lists the layers from id down, top first, until it meets one whose chain
// ID is known, which is below, or passes the base. whole is false when a layer on
// the way has no diff ID or no record: then nobody above it has a chain ID.
func (c *chains) descend(tx *ReadTx, id ID) (path []link, below ChainID, whole bool) {
	seen := map[ID]bool{}
	for at := id; at != ""; {
		if known, done := c.of[at]; done {
			return path, known, known != ""
		}
		parent, diff, exists := tx.links(at)
		path = append(path, link{at, diff})
		if !exists || seen[parent] || !isDigest(diff) {
			return path, "", false
		}
		seen[at] = true
		at = parent
	}
	return path, "", true
}

// isDigest is DiffID.Validate for the common case, which is asked for every layer.
func isDigest(d DiffID) bool {
	encoded, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok {
		return d.Validate() == nil
	}
	return len(encoded) == 64 && strings.Trim(encoded, "0123456789abcdef") == ""
}

// ChainID computes the chain ID of id; "" when it or a layer below has no diff ID.
// ErrUnknown if there is no such layer.
func (tx *ReadTx) ChainID(id ID) (ChainID, error) {
	if tx.closed {
		return "", ErrTxClosed
	}
	if !tx.Exists(id) {
		return "", about(id, ErrUnknown)
	}
	return tx.chain(id), nil
}

// ByChainID returns the layers whose stack has that chain ID, in listing order;
// none is no error. Several may have it (mapped copies).
func (tx *ReadTx) ByChainID(c ChainID) ([]Layer, error) {
	if tx.closed {
		return nil, ErrTxClosed
	}
	var found []Layer
	for _, id := range tx.chainIndex().find(tx, c) {
		l, err := tx.Get(id)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	return found, nil
}

// find looks a chain ID up. The first question computes all of them.
func (c *chains) find(tx *ReadTx, want ChainID) []ID {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byChain == nil {
		c.byChain = map[ChainID][]ID{}
		for _, id := range unique(tx.IDs()) {
			if chain := c.get(tx, id); chain != "" {
				c.byChain[chain] = append(c.byChain[chain], id)
			}
		}
	}
	return c.byChain[want]
}

func circle(id ID) error {
	return fmt.Errorf("layer %s stands on itself: %w", id, errdefs.ErrCorrupt)
}
