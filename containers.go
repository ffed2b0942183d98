package strata

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// ContainerOptions describe a new container. The zero value is a nameless
// container without an image.
type ContainerOptions struct {
	// ID is random when empty.
	ID container.ID
	// Names must not be in use by other containers.
	Names []string
	// Image is the ID, name or unique prefix of an image, "" for none.
	Image string
	// Metadata is free text.
	Metadata string
	// Mapping says whom the container's files belong to.
	Mapping MappingOptions
	// MountLabel and ProcessLabel are SELinux labels; both are always recorded.
	MountLabel, ProcessLabel string
	// MountOpts replace the configured mount options when not nil.
	MountOpts []string
	// Volatile mounts the container's layer without syncing: after a power cut it
	// may be gone. Containers of a transient store are volatile.
	Volatile bool
	// StorageOpt holds options for the driver about the container's layer ("size").
	StorageOpt map[string]string
	// BigData are data items that are there as soon as the container is.
	BigData []container.BigDatum
}

// CreateContainer makes a container: a new writable layer on the image's top
// layer, then its record. An *UnknownError about the image,
// container.ErrDuplicateID or container.ErrDuplicateName; errdefs.ErrUnsupported
// when the mapping needs a copy of the image's layer with other owners. When it
// fails or is cancelled, nothing remains.
func (s *Store) CreateContainer(ctx context.Context, opts ContainerOptions) (container.Container, error) {
	if err := opts.Mapping.validate(); err != nil {
		return container.Container{}, err
	}
	st, err := s.containers.Stage(ctx, container.CreateOptions{
		ID:           opts.ID,
		Names:        opts.Names,
		Metadata:     opts.Metadata,
		MountLabel:   opts.MountLabel,
		ProcessLabel: opts.ProcessLabel,
		MountOpts:    opts.MountOpts,
		Volatile:     opts.Volatile,
		BigData:      opts.BigData,
	})
	if err != nil {
		return container.Container{}, err
	}
	c, err := s.createContainer(ctx, st, opts)
	return c, errors.Join(err, st.Discard())
}

func (s *Store) createContainer(ctx context.Context, st *container.Stage, opts ContainerOptions) (c container.Container, err error) {
	plan, err := s.planContainer(ctx, opts)
	if err != nil {
		return container.Container{}, err
	}
	empty, err := s.prepareLayer(ctx, plan)
	if err != nil {
		return container.Container{}, err
	}
	defer func() { err = errors.Join(err, empty.discard()) }()
	c, saved, err := s.adoptContainer(ctx, st, empty, opts)
	if err != nil && saved != "" {
		err = errors.Join(err, s.dropLayer(context.WithoutCancel(ctx), saved))
	}
	return c, err
}

// planContainer says what layer the container needs, as things stand now.
func (s *Store) planContainer(ctx context.Context, opts ContainerOptions) (plan layer.CreateOptions, err error) {
	t, err := s.begin(ctx, want{layers: shared, images: shared})
	if err != nil {
		return plan, err
	}
	defer t.end(&err)
	_, plan, err = s.placeFor(t, opts)
	return plan, err
}

// adoptContainer is the part under locks. After an error, saved is a layer that
// was stored for the container and has to go.
func (s *Store) adoptContainer(ctx context.Context, st *container.Stage, empty *emptyLayer, opts ContainerOptions) (c container.Container, saved layer.ID, err error) {
	t, err := s.begin(ctx, want{
		userns: len(opts.Mapping.UIDs)+len(opts.Mapping.GIDs) > 0,
		layers: exclusive, images: shared, containers: exclusive,
	})
	if err != nil {
		return c, "", err
	}
	defer t.end(&err)
	at, create, err := s.placeFor(t, opts)
	if err != nil {
		return c, "", err
	}
	l, err := empty.create(ctx, t, create)
	if err != nil {
		return c, "", err
	}
	at.Layer = l.ID
	if c, err = t.writeContainers.Adopt(ctx, st, at); err != nil {
		return container.Container{}, "", err
	}
	// A crash between the two saves leaves a layer that nobody refers to, which
	// harms nobody; the other order would leave a container without a layer.
	if err := t.writeLayers.Commit(ctx); err != nil {
		return container.Container{}, "", err
	}
	if err := t.writeContainers.Commit(ctx); err != nil {
		if t.writeContainers.Uncertain() {
			return container.Container{}, "", err
		}
		return container.Container{}, l.ID, err
	}
	return c, "", nil
}

// placeFor finds what the new container stands on, all but its own layer, and how
// that layer is to be made.
func (s *Store) placeFor(t *tx, opts ContainerOptions) (container.Place, layer.CreateOptions, error) {
	create := layer.CreateOptions{
		MountLabel: opts.MountLabel,
		StorageOpt: opts.StorageOpt,
		Volatile:   opts.Volatile || s.opts.Transient,
	}
	at := container.Place{Mapping: opts.Mapping.resolve(s.opts.DefaultMapping)}
	var tops []layer.Layer
	if opts.Image != "" {
		img, err := t.image(opts.Image)
		if err != nil {
			return at, create, err
		}
		if tops, err = t.topLayers(img); err != nil {
			return at, create, err
		}
		at.Image = img.ID
	}
	var parent layer.Layer // none for an image without layers
	if len(tops) > 0 {
		at.Mapping = opts.Mapping.resolve(tops[0].Mapping())
		parent = s.fitting(tops, at.Mapping)
	}
	create.Parent = parent.ID
	var err error
	create.Mapping, err = s.onParent(parent, at.Mapping)
	return at, create, err
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
		if _, err := s.onParent(l, m); err == nil {
			return l
		}
	}
	return tops[0]
}

// dropLayer removes a layer that nothing refers to.
func (s *Store) dropLayer(ctx context.Context, id layer.ID) error {
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return err
	}
	return t.deleteLayers(ctx, id)
}
