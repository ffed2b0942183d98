package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/layer"
)

// openChains makes the view of the layers by chain ID.
func (s *Store) openChains() (err error) {
	s.chains, err = layer.NewChainStore(s.layers, layer.ChainStoreOptions{
		LeaseDir: s.roots.leaseDir(),
		Users:    &layerUsers{store: s},
		Mapping:  s.opts.DefaultMapping,
	})
	return err
}

// layerUsers tells the chain store which layers images and containers need. It is
// asked by whoever holds the layers' locks, which come first.
type layerUsers struct{ store *Store }

// Hold takes the shared locks of images and containers.
func (u *layerUsers) Hold(ctx context.Context) (layer.HeldUsers, error) {
	t := &tx{store: u.store}
	err := t.openImages(ctx, u.store.images, shared)
	if err == nil {
		err = t.openContainers(ctx, u.store.containers, shared)
	}
	n, notesErr := u.store.notes("")
	if err = errors.Join(err, notesErr); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return &heldUsers{t, n.busy}, nil
}

// heldUsers are the records of images and containers.
type heldUsers struct {
	*tx
	busy map[layer.ID]bool // with images to be
}

// UserOf names the image or container that needs a layer.
func (u *heldUsers) UserOf(id layer.ID) (string, error) {
	if u.busy[id] {
		return "image that is being made", nil
	}
	images, err := u.images.ByTopLayer(id)
	if err != nil {
		return "", err
	}
	if len(images) > 0 {
		return fmt.Sprintf("image %s", images[0].ID), nil
	}
	c, err := u.containers.ByLayer(id)
	if errors.Is(err, container.ErrUnknown) {
		return "", nil
	}
	return fmt.Sprintf("container %s", c.ID), err
}

// Close gives the locks back.
func (u *heldUsers) Close() error { return u.close() }
