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
func (t *tx) leased(id layer.ID) error { return layer.Leased(t.leaseDir, id) }

// spareLeased takes from the layers that would go with an image, top first, those
// that live processes hold and what these stand on. They are left to be collected:
// whoever gives back the last lease removes them.
func (t *tx) spareLeased(doomed []layer.ID) (going, staying []layer.ID, err error) {
	leases, err := lease.Held(t.leaseDir)
	if err != nil {
		return nil, nil, err
	}
	stays := map[layer.ID]bool{}
	for _, id := range doomed {
		if len(leases[string(id)]) > 0 {
			stays[id] = true
		}
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
// no other image or container, but only for layers that a ChainStore looks after:
// those go when these do.
func (c *cascade) inherited() (ids []layer.ID, err error) {
	id := c.top
	for id != "" {
		l, err := c.layers.Get(id)
		if errors.Is(err, layer.ErrUnknown) || err == nil && l.ReadOnly {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		used, err := c.used(id)
		if err != nil || used || !c.onlyCounted(id, ids) {
			return ids, err
		}
		ids, id = append(ids, id), l.Parent
	}
	return ids, nil
}

// onlyCounted reports whether all layers on id that stay are a ChainStore's, or
// inherited themselves.
func (c *cascade) onlyCounted(id layer.ID, inherited []layer.ID) bool {
	for _, child := range c.layers.Children(id) {
		if slices.Contains(c.doomed, child) || slices.Contains(inherited, child) {
			continue
		}
		if l, err := c.layers.Get(child); err != nil || !l.OfChainStore() {
			return false
		}
	}
	return true
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
