package strata

import (
	"context"
	"slices"

	"github.com/stratastore/strata/layer"
)

// collectUnheld removes the layers that programs registered, by chain ID, and that
// no record and no live process holds any more, children first. With DryRun it
// only lists them.
func (s *Store) collectUnheld(ctx context.Context, opts GCOptions) ([]Orphan, error) {
	found, err := s.chains.Unheld(ctx, opts.OlderThan)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	orphans := make([]Orphan, len(found))
	for i := range found {
		orphans[i] = s.recordedOrphan(&found[i], "registered layer that nothing holds")
	}
	s.measureOrphans(ctx, orphans)
	if opts.DryRun {
		return orphans, nil
	}
	removed, err := s.chains.Collect(ctx, opts.OlderThan)
	gone := func(o Orphan) bool {
		return slices.ContainsFunc(removed, func(l layer.Layer) bool { return string(l.ID) == o.ID })
	}
	return slices.DeleteFunc(orphans, func(o Orphan) bool { return !gone(o) }), err
}

// recordedOrphan says where the layer's content is, as far as the driver tells.
func (s *Store) recordedOrphan(l *layer.Layer, reason string) Orphan {
	o := Orphan{Kind: KindLayer, ID: string(l.ID), Reason: reason, sort: orphanLayer, changed: l.Created}
	if p, err := s.place(l.ID); err == nil {
		o.Path = p.dir
	}
	return o
}
