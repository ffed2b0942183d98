package strata

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// strayReason says why nothing needs a draft's layer.
const strayReason = "layer made for an image that never came to be"

// collectDrafts removes the layers that dead processes made for images that they did not
// record, and that nothing refers to, children first. With DryRun it only lists them.
func (s *Store) collectDrafts(ctx context.Context, opts GCOptions) ([]Orphan, error) {
	found, err := s.findStrays(ctx, opts.OlderThan)
	if err != nil {
		return nil, err
	}
	orphans := make([]Orphan, len(found))
	for i := range found {
		orphans[i] = s.recordedOrphan(&found[i], strayReason)
	}
	s.measureOrphans(ctx, orphans)
	if opts.DryRun {
		return orphans, nil
	}
	removed, err := s.removeStrays(ctx, opts.OlderThan, nil)
	return slices.DeleteFunc(orphans, func(o Orphan) bool { return !slices.Contains(removed, layer.ID(o.ID)) }), err
}

// findStrays looks under shared locks.
func (s *Store) findStrays(ctx context.Context, olderThan time.Duration) (found []layer.Layer, err error) {
	t, err := s.open(ctx, want{layers: shared, images: shared, containers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	found, _, err = t.deadStrays(bornBefore(olderThan))
	return found, err
}

// removeStrays looks again under the exclusive locks and removes what it finds; with a
// choice, only what that takes. Notes that have nothing more to say go, too.
func (s *Store) removeStrays(ctx context.Context, olderThan time.Duration, choose func(layer.Layer) (bool, error)) (removed []layer.ID, err error) {
	t, err := s.open(ctx, everything)
	if err != nil {
		return nil, err
	}
	cleanup := func() error { return nil }
	defer func() { err = errors.Join(err, cleanup()) }()
	defer t.end(&err)
	found, drafts, err := t.deadStrays(bornBefore(olderThan))
	if err != nil || len(drafts) == 0 {
		return nil, err
	}
	for _, l := range found {
		chosen := choose == nil
		if !chosen {
			if chosen, err = choose(l); err != nil {
				return nil, err
			}
		}
		if chosen {
			removed = append(removed, l.ID)
		}
	}
	over, err := t.settled(drafts, removed)
	if err != nil {
		return nil, err
	}
	if err := faults.Hit("strata.gc.drafts", s.roots.graph); err != nil {
		return nil, err
	}
	if cleanup, err = t.writeLayers.Delete(ctx, removed...); err != nil {
		return nil, err
	}
	if err := t.writeLayers.Commit(ctx); err != nil {
		return nil, err
	}
	for _, n := range over {
		err = errors.Join(err, unfinished.Forget(n))
	}
	return removed, err
}

// bornBefore is the time for an age; the zero time for none, whatever the clock says.
func bornBefore(olderThan time.Duration) (t time.Time) {
	if olderThan > 0 {
		t = time.Now().Add(-olderThan)
	}
	return t
}

// deadStrays returns the layers that dead drafts leave behind, in order of removal, with
// those drafts.
func (t *tx) deadStrays(before time.Time) ([]layer.Layer, []unfinished.Left, error) {
	n, err := t.store.notes("")
	if err != nil || len(n.drafts) == 0 {
		return nil, nil, err
	}
	kept, err := t.store.kept("")
	if err != nil {
		return nil, nil, err
	}
	var made []unfinished.Made
	for _, draft := range n.drafts {
		made = append(made, draft.Own()...)
	}
	found, err := t.strays(made, kept, before)
	return found, n.drafts, err
}

// strays returns those of the layers that nothing refers to, children first: no image,
// container or other layer, no name, no mount, and nobody for whom they are kept. With a
// time, only those that are older.
func (t *tx) strays(made []unfinished.Made, kept map[layer.ID]bool, before time.Time) (out []layer.Layer, err error) {
	c := cascade{tx: t}
	for again := true; again; {
		again = false // until nothing more is free: a parent may be, by now
		for _, m := range slices.Backward(made) {
			id := layer.ID(m.ID)
			l, err := t.layers.Get(id)
			if err != nil && !errors.Is(err, layer.ErrUnknown) {
				return nil, err
			}
			young := !before.IsZero() && l.Created.After(before)
			if err != nil || young || kept[id] || !l.Created.Equal(m.Created) || inHand(&l) {
				continue
			}
			if l, err = c.take(id); err != nil {
				return nil, err
			}
			if l.ID != "" {
				out, again = append(out, l), true
			}
		}
	}
	return out, nil
}

// inHand reports whether somebody named or mounted the layer, or a deletion has begun.
func inHand(l *layer.Layer) bool { return len(l.Names) > 0 || l.MountCount > 0 || l.Incomplete() }

// settled returns the drafts that are over when the layers going are gone: each of their
// own is needed by an image or a container, was given a name, or is not there.
func (t *tx) settled(drafts []unfinished.Left, going []layer.ID) (over []unfinished.Left, err error) {
	needed, err := t.needed()
	if err != nil {
		return nil, err
	}
	for _, draft := range drafts {
		open := slices.ContainsFunc(draft.Own(), func(m unfinished.Made) bool {
			id := layer.ID(m.ID)
			l, err := t.layers.Get(id)
			gone := errors.Is(err, layer.ErrUnknown) || err == nil && !l.Created.Equal(m.Created)
			return !gone && len(l.Names) == 0 && !needed[id] && !slices.Contains(going, id)
		})
		if !open {
			over = append(over, draft)
		}
	}
	return over, nil
}

// needed returns the layers of all images and containers, and what those stand on.
func (t *tx) needed() (map[layer.ID]bool, error) {
	images, err := t.images.Images()
	if err != nil {
		return nil, err
	}
	containers, err := t.containers.Containers()
	if err != nil {
		return nil, err
	}
	var tops []layer.ID
	for _, i := range images {
		tops = append(tops, i.TopLayers()...)
	}
	for _, c := range containers {
		tops = append(tops, c.Layer)
	}
	needed := map[layer.ID]bool{}
	for _, top := range tops {
		for id := top; id != "" && !needed[id]; {
			needed[id] = true
			l, err := t.layers.Get(id)
			if err != nil && !errors.Is(err, layer.ErrUnknown) {
				return nil, err
			}
			id = l.Parent
		}
	}
	return needed, nil
}

// forgetBelow removes the notes of the dead that are about nothing but layers from top
// downwards: an image has these now.
func (s *Store) forgetBelow(ctx context.Context, top layer.ID) error {
	n, err := s.notes("")
	if err != nil || len(n.drafts) == 0 || top == "" {
		return err
	}
	stack, err := s.stackIDs(ctx, top)
	if err != nil {
		return err
	}
	for _, draft := range n.drafts {
		if !slices.ContainsFunc(draft.Made, func(m unfinished.Made) bool { return !stack[m.ID] }) {
			err = errors.Join(err, unfinished.Forget(draft))
		}
	}
	return err
}

// stackIDs are the layers from top downwards; none when top is gone.
func (s *Store) stackIDs(ctx context.Context, top layer.ID) (ids map[string]bool, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	ids = map[string]bool{}
	stack, err := t.layers.Chain(top)
	if errors.Is(err, layer.ErrUnknown) {
		return ids, nil
	}
	for _, l := range stack {
		ids[string(l.ID)] = true
	}
	return ids, err
}
