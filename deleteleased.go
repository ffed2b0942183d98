package strata

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/stratastore/strata/internal/lease"
	"github.com/stratastore/strata/layer"
)

// leased returns a *layer.LeasedError if a live process needs the layer. The caller
// holds the layers' locks exclusively, or only wants to know.
func (t *tx) leased(id layer.ID) error { return layer.Leased(t.store.roots.leaseDir(), id) }

// kept returns the layers that live processes lease, and those that they make or use for
// images to be, all but those of one note.
func (s *Store) kept(but string) (map[layer.ID]bool, error) {
	leases, err := lease.Held(s.roots.leaseDir())
	if err != nil {
		return nil, err
	}
	n, err := s.notes(but)
	for id := range leases {
		n.busy[layer.ID(id)] = true
	}
	return n.busy, err
}

// spareLeased takes from the layers that would go with an image, top first, those
// that live processes hold and what these stand on. They are left to be collected:
// whoever gives back the last lease removes them.
func (t *tx) spareLeased(doomed []layer.ID) (going, staying []layer.ID, err error) {
	stays, err := t.store.kept("")
	if err != nil {
		return nil, nil, err
	}
	for _, id := range doomed {
		if !stays[id] {
			going = append(going, id)
			continue
		}
		staying = append(staying, id)
		l, err := t.layers.Get(id)
		if err != nil {
			return nil, nil, err
		}
		stays[l.Parent] = true
	}
	return going, staying, nil
}

// split divides what was collected into what goes and what stays for a while.
func (c *cascade) split() (going, staying []layer.ID, err error) {
	inherited, err := c.inherited()
	if err != nil {
		return nil, nil, err
	}
	going, staying, err = c.spareLeased(c.doomed)
	return going, append(staying, inherited...), err
}

// inherited lists what is below the layers that go with an image and was kept for
// no other image or container, but only for layers that a ChainStore or a draft looks
// after: those go when these do.
func (c *cascade) inherited() (ids []layer.ID, err error) {
	for id := c.top; id != ""; {
		only, err := c.onlyCounted(id, ids)
		if err != nil || !only {
			return ids, err
		}
		l, err := c.layers.Get(id)
		if err != nil {
			return ids, err
		}
		ids, id = append(ids, id), l.Parent
	}
	return ids, nil
}

// onlyCounted reports whether the layer can go, and all that needs it are layers on it
// which are a ChainStore's or a draft's, or inherited themselves.
func (c *cascade) onlyCounted(id layer.ID, inherited []layer.ID) (bool, error) {
	l, err := c.layers.Get(id)
	if errors.Is(err, layer.ErrUnknown) || err == nil && l.ReadOnly {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if used, err := c.used(id); err != nil || used {
		return false, err
	}
	n, err := c.store.notes("")
	if err != nil {
		return false, err
	}
	for _, child := range c.layers.Children(id) {
		if n.made[child] || slices.Contains(c.doomed, child) || slices.Contains(inherited, child) {
			continue
		}
		l, err := c.layers.Get(child)
		if err != nil || !l.OfChainStore() {
			return false, err
		}
	}
	return true, nil
}

// leaveForCollection marks layers that nothing but processes needs any more. It
// does not save.
func (t *tx) leaveForCollection(ids []layer.ID) error {
	for _, id := range ids {
		if err := t.writeLayers.SetFlag(id, layer.FlagCollectable, json.RawMessage("true")); err != nil {
			return err
		}
	}
	return nil
}
