package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

// MaxDepth is how many layers a stack may have. It leaves room for an init layer and
// a read-write layer in what the kernel and the other engines mount.
const MaxDepth = 125

// undoTimeout bounds the clean-up after a cancelled call.
const undoTimeout = time.Minute

// RegisterOptions describe a layer on its way in; the zero value takes any tar.
type RegisterOptions struct {
	// Expect, when not empty, is what the diff ID has to be; else errdefs.ErrCorrupt.
	Expect DiffID
	// Descriptor, when its digest is not empty, is kept beside the layer.
	Descriptor ocispec.Descriptor
	// Progress, when not nil, is told how many bytes have been read so far, from
	// another goroutine.
	Progress func(bytes int64)
}

// Register makes a layer from a tar, which may be compressed, on top of parent (""
// for a base layer), and returns a reference to it. If the store has that layer by
// then, whoever made it, the reference is to that one, and what was unpacked is
// thrown away. The tar is read to the end of the stream, with no lock held.
//
// ErrNoLayer (the parent), ErrMaxDepth; errdefs.ErrCorrupt for a bad tar, and what
// reading fails with. After an error, or when cancelled, nothing remains, and the
// parent is held as often as before.
func (c *ChainStore) Register(ctx context.Context, tar io.Reader, parent ChainID) (*Ref, error) {
	return c.RegisterWithOptions(ctx, tar, parent, RegisterOptions{})
}

// RegisterWithDescriptor is Register with a descriptor of where the tar came from,
// which ReadOnly.Descriptor gives back.
func (c *ChainStore) RegisterWithDescriptor(ctx context.Context, tar io.Reader, parent ChainID, d ocispec.Descriptor) (*Ref, error) {
	return c.RegisterWithOptions(ctx, tar, parent, RegisterOptions{Descriptor: d})
}

// RegisterWithOptions is Register with all that can be said about the layer.
func (c *ChainStore) RegisterWithOptions(ctx context.Context, tar io.Reader, parent ChainID, opts RegisterOptions) (_ *Ref, err error) {
	if tar == nil {
		return nil, fmt.Errorf("register layer without a tar: %w", errdefs.ErrInvalid)
	}
	below, err := c.retain(ctx, parent)
	if err != nil {
		return nil, err
	}
	r := &registration{chains: c, parent: below, opts: opts}
	ref, err := r.run(ctx, tar)
	if below != nil {
		err = errors.Join(err, c.letGo(ctx, below.CacheID()))
	}
	if err != nil && ref != nil {
		undo, cancel := undoing(ctx)
		defer cancel()
		_, releaseErr := c.Release(undo, ref)
		return nil, errors.Join(err, releaseErr)
	}
	return ref, err
}

// undoing is a context for clean-up.
func undoing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
}

// retain leases the layer of a chain, so that it stays while something is put on it;
// nil for "".
func (c *ChainStore) retain(ctx context.Context, chain ChainID) (_ *ReadOnly, err error) {
	if chain == "" {
		return nil, nil
	}
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	l, err := c.find(tx, chain)
	if err != nil {
		return nil, err
	}
	r, err := c.describe(tx, l.ID, map[ID]*ReadOnly{})
	if err != nil {
		return nil, err
	}
	return r, c.hold(ctx, l.ID)
}

// letGo undoes retain. If the layer lost everything else that held it meanwhile, it
// goes now.
func (c *ChainStore) letGo(ctx context.Context, id ID) error {
	undo, cancel := undoing(ctx)
	defer cancel()
	_, _, err := c.giveBack(undo, id)
	return err
}

// registration is one layer on its way in.
type registration struct {
	chains *ChainStore
	parent *ReadOnly // leased; nil for a base layer
	opts   RegisterOptions
}

func (r *registration) run(ctx context.Context, tar io.Reader) (_ *Ref, err error) {
	if r.parent.depth() >= MaxDepth {
		return nil, fmt.Errorf("register layer on %s: %w", r.parent.ChainID(), ErrMaxDepth)
	}
	stage := StageOptions{
		Parent: r.parentID(), Mapping: r.chains.opts.Mapping, Image: true,
		Expect: r.opts.Expect, Progress: r.opts.Progress,
	}
	st, err := r.chains.store.Stage(ctx, stage, tar)
	if err != nil {
		return nil, fmt.Errorf("register layer: %w", err)
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	if ref, err := r.existing(ctx, st); ref != nil || err != nil {
		return ref, err
	}
	if err := st.Sync(ctx); err != nil {
		return nil, err
	}
	return r.adopt(ctx, st)
}

// depth counts layers.
func (l *ReadOnly) depth() int {
	n := 0
	for ; l != nil; l = l.parent {
		n++
	}
	return n
}

func (r *registration) parentID() ID {
	if r.parent == nil {
		return ""
	}
	return r.parent.CacheID()
}

func (r *registration) chain(st *Stage) ChainID {
	if r.parent == nil {
		return ChainID(st.DiffID())
	}
	return r.parent.ChainID().Child(st.DiffID())
}

// existing refers to the layer if somebody else made it; nil if nobody did. It spares
// those who come late the sync and the exclusive lock.
func (r *registration) existing(ctx context.Context, st *Stage) (*Ref, error) {
	ref, err := r.chains.Get(ctx, r.chain(st))
	if errors.Is(err, ErrNoLayer) {
		return nil, nil
	}
	return ref, err
}

// adopt makes the stage a layer, unless somebody was faster.
func (r *registration) adopt(ctx context.Context, st *Stage) (_ *Ref, err error) {
	tx, err := r.chains.store.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	l, err := r.chains.find(tx.ReadTx, r.chain(st))
	if err == nil {
		return r.chains.refer(ctx, tx.ReadTx, l.ID)
	}
	if !errors.Is(err, ErrNoLayer) {
		return nil, err
	}
	create, err := r.create(tx, st)
	if err != nil {
		return nil, err
	}
	if l, err = tx.Adopt(ctx, st, create); err != nil {
		return nil, fmt.Errorf("register layer: %w", err)
	}
	ref, err := r.chains.refer(ctx, tx.ReadTx, l.ID)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(ctx); err != nil {
		r.chains.takeBack(ref)
		return nil, errors.Join(err, r.chains.unhold(l.ID))
	}
	return ref, nil
}

// create describes the record.
func (r *registration) create(tx *WriteTx, st *Stage) (CreateOptions, error) {
	opts := CreateOptions{
		ID:    ImageLayerID(r.parentID(), st.DiffID()),
		Flags: map[string]json.RawMessage{FlagCollectable: json.RawMessage("true")},
	}
	if tx.Exists(opts.ID) {
		opts.ID = NewID() // it has other owners, or is not what its ID promises
	}
	if r.opts.Descriptor.Digest == "" {
		return opts, nil
	}
	data, err := json.Marshal(r.opts.Descriptor)
	if err != nil {
		return opts, fmt.Errorf("descriptor of layer: %w", err)
	}
	opts.BigData = []Datum{{Key: descriptorKey, Data: data}}
	return opts, nil
}
