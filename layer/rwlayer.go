package layer

import (
	"context"
	"errors"
	"io"

	"github.com/stratastore/strata/archive"
)

// RWRef is one counted reference to a named read-write layer.
// ChainStore.ReleaseRWLayer gives it back. Safe for concurrent use.
type RWRef struct {
	chains *ChainStore
	name   string
	id     ID
	parent *ReadOnly
}

// Name is the name that the layer was created with.
func (r *RWRef) Name() string { return r.name }

// MountID is the layer's key in this store, and its name in the driver.
func (r *RWRef) MountID() ID { return r.id }

// Parent is the read-only layer below, whether or not an init layer is in between;
// nil if there is none.
func (r *RWRef) Parent() *ReadOnly { return r.parent }

// Mount makes the whole tree visible and returns its path. Mounts are counted over
// all processes; each needs an Unmount, also after an error of what was done there.
// mountLabel is the SELinux label that the tree shows, "" for none.
func (r *RWRef) Mount(ctx context.Context, mountLabel string) (string, error) {
	return r.chains.store.Mount(ctx, r.id, MountOptions{MountLabel: mountLabel})
}

// Unmount undoes one Mount.
func (r *RWRef) Unmount(ctx context.Context) error {
	_, err := r.chains.store.Unmount(ctx, r.id, UnmountOptions{})
	return err
}

// TarStream returns what was changed as an uncompressed tar; the content of the init
// layer is none of it.
func (r *RWRef) TarStream(ctx context.Context) (io.ReadCloser, error) {
	return r.chains.store.Diff(ctx, r.id, "", uncompressed)
}

// Changes lists what was changed, sorted by path.
func (r *RWRef) Changes(ctx context.Context) ([]archive.Change, error) {
	return r.chains.store.Changes(ctx, r.id, "", DiffOptions{})
}

// Size returns the bytes of changed regular files.
func (r *RWRef) Size(ctx context.Context) (int64, error) {
	return r.chains.store.DiffSize(ctx, r.id, "", DiffOptions{})
}

// ApplyDiff unpacks a layer tar, which may be compressed, into the layer and returns
// the bytes of file content. It may be mounted. Bad input changes nothing.
func (r *RWRef) ApplyDiff(ctx context.Context, tar io.Reader) (int64, error) {
	return r.chains.store.applyChanges(ctx, r.id, tar)
}

// Metadata returns the driver's facts about the layer (directories).
func (r *RWRef) Metadata(ctx context.Context) (map[string]string, error) {
	return r.chains.metadata(ctx, r.id)
}

// GetRWLayer returns a new reference to the read-write layer of that name, whichever
// process created it; ErrNoMount.
func (c *ChainStore) GetRWLayer(ctx context.Context, name string) (_ *RWRef, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(&err, tx)
	l, err := c.findRW(tx, name)
	if err != nil {
		return nil, err
	}
	return c.referRW(ctx, tx, &l)
}

// MountID returns the read-write layer's key in this store and gives no reference;
// ErrNoMount.
func (c *ChainStore) MountID(ctx context.Context, name string) (id ID, err error) {
	tx, err := c.store.View(ctx)
	if err != nil {
		return "", err
	}
	defer closing(&err, tx)
	l, err := c.findRW(tx, name)
	return l.ID, err
}

// findRW looks a read-write layer up by its name.
func (c *ChainStore) findRW(tx *ReadTx, name string) (Layer, error) {
	named, err := tx.by(byRWName, name)
	if err != nil {
		return Layer{}, err
	}
	for _, l := range named {
		if !l.ReadOnly {
			return l, nil
		}
	}
	return Layer{}, about(name, ErrNoMount)
}

// referRW leases a read-write layer of tx and hands a reference out.
func (c *ChainStore) referRW(ctx context.Context, tx *ReadTx, l *Layer) (*RWRef, error) {
	_, below, err := c.under(tx, l)
	if err != nil {
		return nil, err
	}
	parent, err := c.describe(tx, below, map[ID]*ReadOnly{})
	if err != nil {
		return nil, err
	}
	if err := c.hold(ctx, l.ID); err != nil {
		return nil, err
	}
	r := &RWRef{chains: c, name: l.RWName(), id: l.ID, parent: parent}
	c.handOut(r)
	return r, nil
}

// under returns what a read-write layer stands on: its init layer, if it has one,
// and the read-only layer below.
func (c *ChainStore) under(tx *ReadTx, l *Layer) (init, parent ID, err error) {
	if l.Parent == "" {
		return "", "", nil
	}
	p, err := tx.Get(l.Parent)
	if errors.Is(err, ErrUnknown) {
		return "", "", about(l.Parent, ErrParentUnknown)
	}
	if err != nil {
		return "", "", err
	}
	if p.initOf() == l.ID {
		return p.ID, p.Parent, nil
	}
	return "", p.ID, nil
}
