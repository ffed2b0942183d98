package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/objectid"
)

// initSuffix makes an init layer's ID of its read-write layer's. Drivers and
// readers of data roots know it.
const initSuffix = "-init"

// RWOptions describe a new read-write layer.
type RWOptions struct {
	// MountLabel is the SELinux label of the init layer; what a container sees is said
	// to Mount.
	MountLabel string
	// StorageOpt is for the driver ("size").
	StorageOpt map[string]string
	// Init, when not nil, fills an init layer between the parent and the new layer, at
	// the path where it is mounted meanwhile. What it makes is no change of the new layer.
	Init func(ctx context.Context, path string) error
}

// CreateRWLayer makes a read-write layer on top of parent ("" for none) and returns
// a reference to it. It stays, by its name, until its last reference is given back
// to ReleaseRWLayer, also when this process ends.
//
// ErrMountExists, ErrNoLayer (the parent); errdefs.ErrInvalid for a name that can
// not be one; what Init fails with. After an error, or when cancelled, nothing of
// it remains. Calls for the same name wait for each other.
func (c *ChainStore) CreateRWLayer(ctx context.Context, name string, parent ChainID, opts RWOptions) (_ *RWRef, err error) {
	if err := objectid.ValidateNames("read-write layer", []string{name}); err != nil {
		return nil, err
	}
	unlock, err := c.names.Lock(ctx, graphdriver.ID(name))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := c.MountID(ctx, name); !errors.Is(err, ErrNoMount) {
		return nil, notFree(name, err)
	}
	below, err := c.retain(ctx, parent)
	if err != nil {
		return nil, err
	}
	n := &newRW{chains: c, name: name, opts: opts, id: NewID()}
	if below != nil {
		n.parent = below.CacheID()
	}
	ref, err := n.make(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("create read-write layer %s: %w", name, err), n.undo(ctx))
	}
	if below != nil {
		err = errors.Join(err, c.letGo(ctx, n.parent))
	}
	if err != nil {
		return nil, err
	}
	return ref, nil
}

// notFree says why a name can not be had, from what looking it up gave.
func notFree(name string, lookup error) error {
	if lookup == nil {
		return about(name, ErrMountExists)
	}
	return lookup
}

// newRW is a read-write layer on its way in.
type newRW struct {
	chains *ChainStore
	name   string
	opts   RWOptions
	parent ID // leased; "" for none
	id     ID
	init   ID // leased and there; "" for none
}

func (n *newRW) make(ctx context.Context) (*RWRef, error) {
	on := n.parent
	if n.opts.Init != nil {
		if err := n.makeInit(ctx); err != nil {
			return nil, err
		}
		on = n.init
	}
	var ref *RWRef
	opts := CreateOptions{
		ID: n.id, Parent: on, StorageOpt: n.opts.StorageOpt, Mapping: n.chains.opts.Mapping,
		Flags: map[string]json.RawMessage{flagRWName: textFlag(n.name)},
	}
	free := func(tx *ReadTx) error {
		if _, err := n.chains.findRW(tx, n.name); !errors.Is(err, ErrNoMount) {
			return notFree(n.name, err)
		}
		return nil
	}
	refer := func(tx *ReadTx, l *Layer) (err error) {
		ref, err = n.chains.referRW(ctx, tx, l)
		return err
	}
	err := n.chains.createEmpty(ctx, opts, free, refer)
	if err != nil && ref != nil {
		n.chains.takeBack(ref)
		return nil, errors.Join(err, n.chains.unhold(n.id))
	}
	if err == nil && n.init != "" {
		n.chains.unholdInit(ctx, n.init)
	}
	return ref, err
}

// unholdInit gives up the lease of an init layer that a read-write layer stands on.
// If that can not be written down, it ends with the ChainStore.
func (c *ChainStore) unholdInit(ctx context.Context, id ID) {
	if err := c.unhold(id); err != nil {
		c.store.opts.Logger.WarnContext(ctx, "lease of init layer stays until the end", "layer", id, "error", err)
	}
}

// makeInit makes and fills the init layer.
func (n *newRW) makeInit(ctx context.Context) error {
	id := n.id + initSuffix
	opts := CreateOptions{
		ID: id, Parent: n.parent, StorageOpt: n.opts.StorageOpt, MountLabel: n.opts.MountLabel,
		Mapping: n.chains.opts.Mapping,
		Flags:   map[string]json.RawMessage{flagInitOf: textFlag(string(n.id))},
	}
	lease := func(*ReadTx, *Layer) error { return n.chains.hold(ctx, id) }
	n.init = id
	if err := n.chains.createEmpty(ctx, opts, nil, lease); err != nil {
		return err
	}
	return n.fillInit(ctx)
}

// fillInit runs the caller's function on the mounted init layer.
func (n *newRW) fillInit(ctx context.Context) (err error) {
	s := n.chains.store
	path, err := s.Mount(ctx, n.init, MountOptions{})
	if err != nil {
		return err
	}
	defer func() {
		undo, cancel := undoing(ctx)
		defer cancel()
		_, unmountErr := s.Unmount(undo, n.init, UnmountOptions{})
		err = errors.Join(err, unmountErr)
	}()
	if err := faults.Hit("layer.init", path); err != nil {
		return fmt.Errorf("fill init layer: %w", err)
	}
	if err := n.opts.Init(ctx, path); err != nil {
		return fmt.Errorf("fill init layer: %w", err)
	}
	return s.syncContent()
}

// undo removes what there is of the layer.
func (n *newRW) undo(ctx context.Context) error {
	ctx, cancel := undoing(ctx)
	defer cancel()
	d, err := n.chains.demolish(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range []ID{n.id, n.init} {
		if l, err := d.tx.Get(id); err == nil { // else never made, or undone by its own transaction
			errs = append(errs, d.remove(ctx, []Layer{l}))
		}
	}
	errs = append(errs, d.close())
	if h, err := n.chains.leases(); err == nil && h.Count(string(n.init)) > 0 {
		errs = append(errs, n.chains.unhold(n.init))
	}
	return errors.Join(errs...)
}

// createEmpty makes a layer without content. check and made, which may be nil, run in
// the transaction, before and after; an error of theirs undoes it. Where the driver
// copies the parent, that is done before any lock is taken.
func (c *ChainStore) createEmpty(ctx context.Context, opts CreateOptions, check func(*ReadTx) error, made func(*ReadTx, *Layer) error) (err error) {
	st, err := c.stageCopy(ctx, &opts)
	if err != nil {
		return err
	}
	if st != nil {
		defer closing(&err, discarded{st})
	}
	tx, err := c.store.Begin(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	if check != nil {
		if err := check(tx.ReadTx); err != nil {
			return err
		}
	}
	var l Layer
	if st != nil {
		l, err = tx.Adopt(ctx, st, opts)
	} else {
		l, err = tx.Create(ctx, opts)
	}
	if err != nil {
		return err
	}
	if err := made(tx.ReadTx, &l); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// discarded closes a stage.
type discarded struct{ *Stage }

func (d discarded) Close() error { return d.Discard() }

// stageCopy copies the parent for drivers that work like that; nil for others.
func (c *ChainStore) stageCopy(ctx context.Context, opts *CreateOptions) (*Stage, error) {
	driver, ok := c.store.driver().(graphdriver.Capable)
	if !ok || !driver.Capabilities().CopiesParent || opts.Parent == "" {
		return nil, nil
	}
	st, err := c.store.Stage(ctx, StageOptions{
		Parent: opts.Parent, Mapping: opts.Mapping, MountLabel: opts.MountLabel, StorageOpt: opts.StorageOpt,
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := st.Sync(ctx); err != nil {
		return nil, errors.Join(err, st.Discard())
	}
	return st, nil
}
