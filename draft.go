package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// Draft keeps account of an image that is not recorded yet: of the layers that are made
// for it (LayerOptions.Draft, StackOptions.Draft) and of those that it reuses. While the
// draft lasts, nothing collects them. When its process dies first, GC removes those that
// it made and that nothing refers to, and nothing else does: whoever makes the image
// anew finds them.
//
// It is one small file, written when there is something to note and never flushed: a
// power cut can lose it, and then layers without an image stay. Safe for concurrent use.
type Draft struct {
	store *Store

	mu    sync.Mutex
	note  *unfinished.Note // nil before anything is noted
	made  []unfinished.Made
	ended bool
}

// NewDraft begins the account of one image. The caller ends it: by Done after
// CreateImage, and in any case by Close.
func (s *Store) NewDraft() *Draft { return &Draft{store: s} }

// Use keeps layers for the image that the store has, or may have. Look for them
// afterwards: those that are there then stay. fs.ErrClosed after the draft's end.
func (d *Draft) Use(ctx context.Context, ids ...layer.ID) error {
	if err := ctx.Err(); err != nil || len(ids) == 0 {
		return err
	}
	return d.add(unfinished.Change{Uses: plainIDs(ids)})
}

// making notes layers that are about to be made, and says when they were. A nil draft
// notes nothing.
func (d *Draft) making(ids ...layer.ID) (created time.Time, err error) {
	created = time.Now().UTC()
	if d == nil {
		return created, nil
	}
	var made []unfinished.Made
	for _, id := range ids {
		made = append(made, unfinished.Made{ID: string(id), Created: created})
	}
	return created, d.add(unfinished.Change{Made: made})
}

func (d *Draft) add(c unfinished.Change) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return fmt.Errorf("draft of an image: %w", fs.ErrClosed)
	}
	c.Driver, c.Draft = d.store.driver.name, true
	if d.note == nil {
		d.note, err = unfinished.Begin(d.store.roots.draftDir(), c)
	} else {
		err = d.note.Add(c)
	}
	if err == nil {
		d.made = append(d.made, c.Made...)
	}
	return err
}

// Done ends the draft after its image was recorded on the layer top. What others, who
// died, had noted about the same layers is over, too; where that fails, it is logged and
// left to GC. A second call does nothing.
func (d *Draft) Done(ctx context.Context, top layer.ID) {
	var err error
	if note, _ := d.end(); note != nil {
		err = note.Done()
	}
	if err = errors.Join(err, d.store.forgetBelow(ctx, top)); err != nil {
		d.store.log.WarnContext(ctx, "note about layers of an image stays", "error", err)
	}
}

// end takes the note out.
func (d *Draft) end() (*unfinished.Note, []unfinished.Made) {
	d.mu.Lock()
	defer d.mu.Unlock()
	note, made := d.note, d.made
	d.note, d.made, d.ended = nil, nil, true
	return note, made
}

// Close ends a draft without an image. The layers that it made stay, for whoever makes
// the image again or for GC. A context that has ended does not stop it. After Done or
// Discard it does nothing.
func (d *Draft) Close(ctx context.Context) error {
	note, made := d.end()
	if note == nil {
		return nil
	}
	there, err := d.store.anyThere(context.WithoutCancel(ctx), made)
	if err != nil || there {
		return errors.Join(err, note.Close())
	}
	return note.Done()
}

// anyThere reports whether the store has one of the layers.
func (s *Store) anyThere(ctx context.Context, made []unfinished.Made) (there bool, err error) {
	if len(made) == 0 {
		return false, nil
	}
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return false, err
	}
	defer t.end(&err)
	return slices.ContainsFunc(made, func(m unfinished.Made) bool {
		l, err := t.layers.Get(layer.ID(m.ID))
		return err == nil && l.Created.Equal(m.Created)
	}), nil
}

// Discard ends a draft without an image and removes the layers that it made, as far as
// nothing refers to them by now. What can not be removed is left to GC. A context that
// has ended does not stop it. After Done or Close it does nothing.
func (d *Draft) Discard(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	note, made := d.end()
	if note == nil {
		return nil
	}
	there, err := d.store.anyThere(ctx, made)
	over := !there
	if err == nil && there {
		over, err = d.store.discard(ctx, note.Path())
	}
	if err != nil {
		err = fmt.Errorf("discard layers of an image: %w", err)
	}
	if err != nil || !over {
		return errors.Join(err, note.Close())
	}
	return note.Done()
}

// discard removes what a living writer made, and reports whether his note is over.
func (s *Store) discard(ctx context.Context, note string) (over bool, err error) {
	t, err := s.begin(ctx, everything)
	if err != nil {
		return false, err
	}
	cleanup := func() error { return nil }
	defer func() { err = errors.Join(err, cleanup()) }()
	defer t.end(&err)
	mine, err := unfinished.Find(note)
	if err != nil {
		return false, err
	}
	kept, err := s.kept(note)
	if err != nil {
		return false, err
	}
	found, err := t.strays(mine.Own(), kept, time.Time{})
	if err != nil {
		return false, err
	}
	settled, err := t.settled([]unfinished.Left{mine}, idsOf(found))
	if err != nil {
		return false, err
	}
	if err := faults.Hit("strata.discard", s.roots.graph); err != nil {
		return false, err
	}
	if cleanup, err = t.writeLayers.Delete(ctx, idsOf(found)...); err != nil {
		return false, err
	}
	return len(settled) > 0, t.writeLayers.Commit(ctx)
}

func idsOf(layers []layer.Layer) []layer.ID {
	ids := make([]layer.ID, len(layers))
	for i := range layers {
		ids[i] = layers[i].ID
	}
	return ids
}

// ownedBy makes sure that a layer that was there stays for who asked for it: as long as
// the draft lasts, or, without one, until somebody deletes it. found looks for the layer.
func (s *Store) ownedBy(ctx context.Context, d *Draft, id layer.ID, found func() bool) (bool, error) {
	if d != nil {
		if err := d.Use(ctx, id); err != nil {
			return false, err
		}
		return found(), nil
	}
	if !found() {
		return false, nil
	}
	for _, dir := range s.roots.noteDirs() {
		if err := unfinished.Keep(dir, s.driver.name, string(id)); err != nil {
			return false, err
		}
	}
	return found(), nil
}
