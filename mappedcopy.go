package strata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// errNeedsCopy says that a container can not be made before its image has another copy of
// its top layer.
var errNeedsCopy = errdefs.New(errdefs.ErrNotFound, "image has no layer with the wanted owners")

// addCopy gives the image a copy of its top layer with other owners (on-disk format, 4.6).
// The copy is made with no lock held. When somebody else has added such a copy meanwhile,
// that one does.
func (b *birth) addCopy(ctx context.Context, p site) (err error) {
	if err := faults.Hit("strata.copy.stage", b.roots.graph); err != nil {
		return err
	}
	st, err := b.layers.StageCopy(ctx, p.copyOf, p.copyMapping)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	if err := st.Sync(ctx); err != nil {
		return err
	}
	saved, err := b.adoptCopy(ctx, st, p)
	if err != nil && saved != "" {
		err = errors.Join(err, b.dropLayer(context.WithoutCancel(ctx), saved))
	}
	return err
}

// adoptCopy is the part under locks. After an error, saved is a copy that was stored and
// that the image does not know.
func (b *birth) adoptCopy(ctx context.Context, st *layer.Stage, p site) (saved layer.ID, err error) {
	t, err := b.begin(ctx, want{layers: exclusive, images: exclusive})
	if err != nil {
		return "", err
	}
	defer t.end(&err)
	img, err := t.image(string(p.Image))
	if err != nil {
		return "", err
	}
	tops, err := t.topLayers(img)
	if err != nil {
		return "", err
	}
	if f, err := b.onParent(b.fitting(tops, p.Mapping), p.Mapping); err != nil || f.fits {
		return "", err
	}
	if !slices.Contains(img.TopLayers(), p.copyOf) {
		return "", fmt.Errorf("image %s has another top layer by now: %w", img.ID, errNeedsCopy)
	}
	id := layer.NewID()
	note, err := b.note(id)
	if err != nil {
		return "", err
	}
	defer end(note, &err)
	l, err := t.writeLayers.Adopt(ctx, st, layer.CreateOptions{ID: id})
	if err != nil {
		return "", err
	}
	if err := t.writeImages.AddMappedLayer(img.ID, l.ID); err != nil {
		return "", err
	}
	// A crash between the two saves leaves a layer that nobody refers to, and the note
	// about it; the other order would leave an image with a copy that is not there.
	if err := t.writeLayers.Commit(ctx); err != nil {
		return "", err
	}
	if err := faults.Hit("strata.copy.commit", b.roots.graph); err != nil {
		return l.ID, err
	}
	if err := t.writeImages.Commit(ctx); err != nil {
		if t.writeImages.Uncertain() {
			return "", err
		}
		return l.ID, err
	}
	return "", nil
}
