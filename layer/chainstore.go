package layer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/lease"
)

// ChainStore is a Store seen as Docker's engine sees its layers: read-only layers
// by chain ID, with counted references, and named read-write layers on top of
// them. It works on the records that everything else uses; the package comment
// says what keeps a layer and when it goes.
//
// References belong to the ChainStore that handed them out, and end with Close or
// with the process. All methods are safe for concurrent use. Call them without
// any transaction.
type ChainStore struct {
	store *Store
	opts  ChainStoreOptions
	names graphdriver.IDLocks // of read-write layers

	mu     sync.Mutex
	holder *lease.Holder      // opened when the first reference is handed out
	refs   map[reference]bool // handed out and not given back
	closed bool
}

// reference is a *Ref or a *RWRef.
type reference any

// ChainStoreOptions describe a ChainStore. LeaseDir is required.
type ChainStoreOptions struct {
	// LeaseDir is where processes note what they use: <graph root>/strata/leases.
	LeaseDir string
	// Users tells what images and containers need; nil: there are none.
	Users Users
	// Mapping: ownership of new layers on disk is shifted by it. Layers with another
	// mapping are not seen.
	Mapping idmap.Mapping
}

// NewChainStore returns the view of s. It touches no file before the first
// reference is asked for. The caller closes it.
func NewChainStore(s *Store, opts ChainStoreOptions) (*ChainStore, error) {
	if opts.LeaseDir == "" {
		return nil, fmt.Errorf("chain store without a directory for leases: %w", errdefs.ErrInvalid)
	}
	return &ChainStore{store: s, opts: opts, refs: map[reference]bool{}}, nil
}

// Close ends all references. Nothing is removed: what only they kept is there for
// the next one who asks, and for collection. A second call does nothing; handing
// out references fails with ErrChainStoreClosed from now on.
func (c *ChainStore) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	clear(c.refs)
	if c.holder == nil {
		return nil
	}
	return c.holder.Close()
}

// leases returns the file with what this ChainStore holds.
func (c *ChainStore) leases() (*lease.Holder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrChainStoreClosed
	}
	if c.holder == nil {
		h, err := lease.Open(c.opts.LeaseDir)
		if err != nil {
			return nil, err
		}
		c.holder = h
	}
	return c.holder, nil
}

// hold leases layers, for a caller with a transaction in which they are there.
func (c *ChainStore) hold(ctx context.Context, ids ...ID) error {
	h, err := c.leases()
	if err != nil {
		return err
	}
	return h.Add(ctx, texts(ids)...)
}

// unhold gives leases back, for layers that a record keeps or that are gone.
func (c *ChainStore) unhold(ids ...ID) error {
	h, err := c.leases()
	if errors.Is(err, ErrChainStoreClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Drop(texts(ids)...)
}

// handOut notes a reference whose layer is leased.
func (c *ChainStore) handOut(r reference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs[r] = true
}

// takeBack reports whether r was handed out and not given back yet; from now on it is.
func (c *ChainStore) takeBack(r reference) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.refs[r]
	delete(c.refs, r)
	return was
}

func texts(ids []ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}

// Get returns a new reference to the layer; ErrNoLayer.
func (c *ChainStore) Get(ctx context.Context, chain ChainID) (_ *Ref, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	l, err := c.find(tx, chain)
	if err != nil {
		return nil, err
	}
	return c.refer(ctx, tx, l.ID)
}

// refer leases a layer of tx and hands a reference out.
func (c *ChainStore) refer(ctx context.Context, tx *ReadTx, id ID) (*Ref, error) {
	l, err := c.describe(tx, id, map[ID]*ReadOnly{})
	if err != nil {
		return nil, err
	}
	if err := c.hold(ctx, id); err != nil {
		return nil, err
	}
	r := &Ref{ReadOnly: l}
	c.handOut(r)
	return r, nil
}

// find returns the layer of a chain. Of several, the one that has the ID which all
// engines derive, else the first.
func (c *ChainStore) find(tx *ReadTx, chain ChainID) (Layer, error) {
	all, err := tx.ByChainID(chain)
	if err != nil {
		return Layer{}, err
	}
	var best *Layer
	for i := range all {
		l := &all[i]
		if !l.Mapping().Equal(c.opts.Mapping) {
			continue
		}
		if l.ID == ImageLayerID(l.Parent, l.DiffID) {
			return *l, nil
		}
		if best == nil {
			best = l
		}
	}
	if best == nil {
		return Layer{}, about(chain, ErrNoLayer)
	}
	return *best, nil
}

// Map returns all layers that have a chain ID. It gives no references.
func (c *ChainStore) Map(ctx context.Context) (_ map[ChainID]*ReadOnly, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	all := map[ChainID]*ReadOnly{}
	seen := map[ID]*ReadOnly{}
	for _, id := range unique(tx.IDs()) {
		chain := tx.chain(id)
		if chain == "" || all[chain] != nil {
			continue
		}
		l, err := c.find(tx, chain)
		if errors.Is(err, ErrNoLayer) {
			continue // only with other owners
		}
		if err == nil {
			all[chain], err = c.describe(tx, l.ID, seen)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// DriverName returns the driver's registered name.
func (c *ChainStore) DriverName() string { return c.store.driver().Name() }

// DriverStatus returns the driver's key and value pairs for people.
func (c *ChainStore) DriverStatus() []graphdriver.StatusItem { return c.store.driver().Status() }
