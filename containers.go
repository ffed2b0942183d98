package strata

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/stratastore/strata/container"
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
	// LayerID is the ID of the container's own layer, random when empty.
	LayerID layer.ID
	// Flags are kept in the record, beside those that the fields above make.
	Flags map[string]json.RawMessage
}

// CreateContainer makes a container: a new writable layer on the image's top layer,
// then its record. Where the driver can not shift owners while mounting, a mapping that
// is not the image's first makes a copy of the image's top layer with other owners, which
// is noted in the image and serves later containers, too (on-disk format, 4.6); for an
// image of an additional store the container's own layer holds the copy.
//
// An *UnknownError about the image, container.ErrDuplicateID or
// container.ErrDuplicateName; errdefs.ErrUnsupported when the driver makes no such copies;
// ErrNotEnoughIDs when there is no free range for Mapping.Auto. When it fails or is
// cancelled, nothing of the container remains; a copy may, which the image then has.
func (s *Store) CreateContainer(ctx context.Context, opts ContainerOptions) (c container.Container, err error) {
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
		Flags:        opts.Flags,
	})
	if err != nil {
		return container.Container{}, err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	b := birth{Store: s, stage: st, opts: opts}
	if opts.Mapping.Auto == nil {
		return b.create(ctx)
	}
	held, err := s.userns.Exclusive(ctx)
	if err != nil {
		return container.Container{}, err
	}
	defer func() { err = errors.Join(err, held.Unlock()) }()
	b.holdsUserns = true
	if b.opts.Mapping, err = s.allot(ctx, opts); err != nil {
		return container.Container{}, err
	}
	return b.create(ctx)
}

// dropLayer removes a layer that nothing refers to.
func (s *Store) dropLayer(ctx context.Context, id layer.ID) error {
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return err
	}
	return t.deleteLayers(ctx, id)
}
