package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// birth is a container on its way in.
type birth struct {
	*Store
	stage *container.Stage
	opts  ContainerOptions
	// holdsUserns: userns.lock is held from the choice of the ID ranges to the end.
	holdsUserns bool
}

// copyTries bounds how often a copy of the image's layer is made that somebody deletes
// before the container stands on it.
const copyTries = 3

func (b *birth) create(ctx context.Context) (c container.Container, err error) {
	for range copyTries {
		if c, err = b.try(ctx); !errors.Is(err, errNeedsCopy) {
			return c, err
		}
	}
	return c, err
}

func (b *birth) try(ctx context.Context) (c container.Container, err error) {
	plan, err := b.plan(ctx)
	if err == nil && plan.copyOf != "" {
		if err = b.addCopy(ctx, plan); err == nil {
			plan, err = b.plan(ctx)
		}
	}
	if err != nil {
		return container.Container{}, err
	}
	empty, err := b.prepareLayer(ctx, plan.layer)
	if err != nil {
		return container.Container{}, err
	}
	defer func() { err = errors.Join(err, empty.discard()) }()
	c, saved, err := b.adopt(ctx, empty)
	if err != nil && saved != "" {
		err = errors.Join(err, b.dropLayer(context.WithoutCancel(ctx), saved))
	}
	return c, err
}

// plan says what layer the container needs, as things stand now.
func (b *birth) plan(ctx context.Context) (p site, err error) {
	t, err := b.begin(ctx, want{layers: shared, images: shared})
	if err != nil {
		return p, err
	}
	defer t.end(&err)
	return b.siteFor(t, b.opts)
}

// adopt is the part under locks. After an error, saved is a layer that was stored for
// the container and has to go.
func (b *birth) adopt(ctx context.Context, empty *emptyLayer) (c container.Container, saved layer.ID, err error) {
	explicit := len(b.opts.Mapping.UIDs)+len(b.opts.Mapping.GIDs) > 0
	t, err := b.begin(ctx, want{
		userns: explicit && !b.holdsUserns,
		layers: exclusive, images: shared, containers: exclusive,
	})
	if err != nil {
		return c, "", err
	}
	defer t.end(&err)
	place, err := b.ownSite(t)
	if err != nil {
		return c, "", err
	}
	note, err := b.note(place.layer.ID)
	if err != nil {
		return c, "", err
	}
	defer end(note, &err)
	if c, err = b.fill(ctx, t, empty, place); err == nil {
		saved, err = b.commit(ctx, t, c.Layer)
	}
	if err != nil {
		return container.Container{}, saved, err
	}
	return c, "", nil
}

// ownSite is the site with an ID for the container's own layer. All that the layer is to
// stand on is there by now.
func (b *birth) ownSite(t *tx) (site, error) {
	place, err := b.siteFor(t, b.opts)
	if err == nil && place.copyOf != "" {
		err = fmt.Errorf("copy of layer %s with other owners was deleted meanwhile: %w", place.copyOf, errNeedsCopy)
	}
	if place.layer.ID == "" {
		place.layer.ID = layer.NewID()
	}
	return place, err
}

// fill makes layer and container, of which nothing is saved as complete yet.
func (b *birth) fill(ctx context.Context, t *tx, empty *emptyLayer, place site) (c container.Container, err error) {
	if err := faults.Hit("strata.container.layer", b.roots.graph); err != nil {
		return c, err
	}
	l, err := empty.create(ctx, t, place.layer)
	if err != nil {
		return c, err
	}
	place.Layer = l.ID
	if err := faults.Hit("strata.container.record", b.roots.graph); err != nil {
		return c, err
	}
	return t.writeContainers.Adopt(ctx, b.stage, place.Place)
}

// commit saves the layer, then the container: a crash between the two leaves a layer that
// nobody refers to, and the note about it; the other order would leave a container without
// a layer. It returns the layer if that is saved, and the container is not.
func (b *birth) commit(ctx context.Context, t *tx, own layer.ID) (saved layer.ID, err error) {
	if err := t.writeLayers.Commit(ctx); err != nil {
		return "", err
	}
	if err := faults.Hit("strata.container.commit", b.roots.graph); err != nil {
		return own, err
	}
	if err := t.writeContainers.Commit(ctx); err != nil {
		if t.writeContainers.Uncertain() {
			return "", err
		}
		return own, err
	}
	return "", nil
}

// site is what a new container stands on, all but its own layer, and how that layer is
// to be made.
type site struct {
	container.Place
	layer layerPlan
	// copyOf, when not empty, is the layer that the image first needs a copy of, with
	// owners of copyMapping.
	copyOf      layer.ID
	copyMapping Mapping
}

func (s *Store) siteFor(t *tx, opts ContainerOptions) (site, error) {
	p := site{Place: container.Place{Mapping: opts.Mapping.resolve(s.opts.DefaultMapping)}}
	p.layer.ID, p.layer.MountLabel, p.layer.StorageOpt = opts.LayerID, opts.MountLabel, opts.StorageOpt
	p.layer.Volatile = opts.Volatile || s.opts.Transient
	if opts.Image == "" {
		err := s.stand(&p, image.Image{}, nil)
		return p, err
	}
	img, err := t.image(opts.Image)
	if err != nil {
		return p, err
	}
	tops, err := t.topLayers(img)
	if err != nil {
		return p, err
	}
	p.Image = img.ID
	if len(tops) > 0 {
		p.Mapping = opts.Mapping.resolve(tops[0].Mapping())
	}
	err = s.stand(&p, img, tops)
	return p, err
}

// stand chooses among the image's top layers: the first that the container can stand on
// as it is, else a copy of the first.
func (s *Store) stand(p *site, img image.Image, tops []layer.Layer) error {
	var parent layer.Layer // none for an image without layers
	if len(tops) > 0 {
		parent = s.fitting(tops, p.Mapping)
	}
	p.layer.Parent = parent.ID
	f, err := s.onParent(parent, p.Mapping)
	if err != nil {
		return err
	}
	p.layer.Mapping, p.layer.copies = f.stored, !f.fits
	if !f.fits && !img.ReadOnly {
		p.copyOf, p.copyMapping = parent.ID, f.stored
	}
	return nil
}

// topLayers returns the image's top layer and the mapped copies of it that are there.
func (t *tx) topLayers(img image.Image) ([]layer.Layer, error) {
	var tops []layer.Layer
	for _, id := range img.TopLayers() {
		l, err := t.layers.Get(id)
		if errors.Is(err, layer.ErrUnknown) && id != img.TopLayer {
			continue // a copy that somebody deleted
		}
		if err != nil {
			return nil, fmt.Errorf("top layer of image %s: %w", img.ID, known(KindLayer, string(id), err))
		}
		tops = append(tops, l)
	}
	return tops, nil
}

// fitting returns the first of an image's top layers that a container with the
// mapping can stand on (on-disk format, 4.6); the first of all if none can.
func (s *Store) fitting(tops []layer.Layer, m Mapping) layer.Layer {
	for _, l := range tops {
		if f, err := s.onParent(l, m); err == nil && f.fits {
			return l
		}
	}
	return tops[0]
}
