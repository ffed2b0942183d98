package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// LayerOptions describe a new layer. The zero value is a nameless empty base layer.
type LayerOptions struct {
	// ID is random when empty.
	ID layer.ID
	// Names must not be in use by other layers.
	Names []string
	// Parent is the ID, name or unique prefix of the layer below, "" for none. It may
	// live in an additional store.
	Parent string
	// MountLabel is the SELinux label that the layer is mounted with.
	MountLabel string
	// Image makes a layer for images: it goes to the separate image store if there is one.
	Image bool
	// Metadata is free text.
	Metadata string
	// Mapping says whom the files belong to.
	Mapping MappingOptions
	// StorageOpt holds options for the driver about this layer ("size").
	StorageOpt map[string]string
	// BigData are data items that are there as soon as the layer is.
	BigData []layer.Datum
	// Flags are kept in the record.
	Flags map[string]json.RawMessage
	// DeriveID gives the layer the ID that all engines derive from the parent and the
	// diff ID (layer.ImageLayerID), instead of ID; for ImportLayer. If the store has
	// that layer with that diff ID, it is returned as it is.
	DeriveID bool
	// Draft, when not nil, keeps account of the layer for an image to be; for ImportLayer.
	Draft *Draft
	// Expect and ExpectBlob, when not empty, are what the digests of the diff and of
	// its blob have to be; for ImportLayer.
	Expect     layer.DiffID
	ExpectBlob layer.BlobDigest
	// Progress, when not nil, is told how many bytes of the blob have been read so
	// far, from another goroutine; for ImportLayer.
	Progress func(blobBytes int64)
}

// CreateLayer makes an empty layer. An *UnknownError about the parent,
// layer.ErrParentIsContainer, layer.ErrDuplicateID or layer.ErrDuplicateName. A mapping
// that is not the parent's costs copies of all files below with other owners, unless the
// driver shifts owners while mounting; errdefs.ErrUnsupported if it does neither. When
// it fails or is cancelled, nothing remains.
func (s *Store) CreateLayer(ctx context.Context, opts LayerOptions) (l layer.Layer, err error) {
	plan, err := s.planLayer(ctx, opts)
	if err != nil {
		return layer.Layer{}, err
	}
	empty, err := s.prepareLayer(ctx, plan)
	if err != nil {
		return layer.Layer{}, err
	}
	defer func() { err = errors.Join(err, empty.discard()) }()
	t, err := s.begin(ctx, want{layers: exclusive, containers: shared})
	if err != nil {
		return layer.Layer{}, err
	}
	defer t.end(&err)
	if plan, err = s.plan(t, opts); err != nil {
		return layer.Layer{}, err
	}
	if l, err = empty.create(ctx, t, plan); err != nil {
		return layer.Layer{}, err
	}
	return l, t.writeLayers.Commit(ctx)
}

// planLayer is plan under shared locks.
func (s *Store) planLayer(ctx context.Context, opts LayerOptions) (plan layerPlan, err error) {
	if err := opts.Mapping.validate(); err != nil {
		return plan, err
	}
	if opts.Mapping.Auto != nil {
		return plan, fmt.Errorf("automatic ID mapping of a layer: only containers have them: %w", errdefs.ErrInvalid)
	}
	t, err := s.begin(ctx, want{layers: shared, containers: shared})
	if err != nil {
		return plan, err
	}
	defer t.end(&err)
	return s.plan(t, opts)
}

// plan finds the parent, refuses an ID or name that is taken, and says what the
// layer store is to make.
func (s *Store) plan(t *tx, opts LayerOptions) (layerPlan, error) {
	create := layerPlan{CreateOptions: layer.CreateOptions{
		ID:         opts.ID,
		Names:      opts.Names,
		Metadata:   opts.Metadata,
		MountLabel: opts.MountLabel,
		StorageOpt: opts.StorageOpt,
		Image:      opts.Image,
		BigData:    opts.BigData,
		Flags:      opts.Flags,
	}}
	parent, err := t.parentFor(opts.Parent)
	if err != nil {
		return create, err
	}
	if err := t.layerFree(opts); err != nil {
		return create, err
	}
	create.Parent = parent.ID
	f, err := s.layerMapping(opts, parent)
	create.Mapping, create.copies = f.stored, !f.fits
	return create, err
}

// parentFor looks up the layer below a new one; a container's layer can not be it.
// The zero Layer stands for no parent.
func (t *tx) parentFor(nameOrID string) (layer.Layer, error) {
	if nameOrID == "" {
		return layer.Layer{}, nil
	}
	parent, err := t.layer(nameOrID)
	if err != nil {
		return layer.Layer{}, err
	}
	if _, err := t.containers.ByLayer(parent.ID); err == nil {
		return layer.Layer{}, &layer.SubjectError{Subject: string(parent.ID), Err: layer.ErrParentIsContainer}
	}
	return parent, nil
}

func (s *Store) layerMapping(opts LayerOptions, parent layer.Layer) (footing, error) {
	inherited := s.opts.DefaultMapping
	if parent.ID != "" {
		inherited = parent.Mapping()
	}
	return s.onParent(parent, opts.Mapping.resolve(inherited))
}

// ImportLayer makes a layer from a tar, which may be compressed; an empty one is a
// valid empty diff. The tar is read, checked and unpacked with no lock held; a
// short transaction makes it a layer. A nil diff is CreateLayer. Besides the errors of that:
// errdefs.ErrCorrupt for bad input and for digests that are not the expected ones.
// When it fails or is cancelled, no layer remains.
func (s *Store) ImportLayer(ctx context.Context, opts LayerOptions, diff io.Reader) (l layer.Layer, err error) {
	if diff == nil {
		return s.CreateLayer(ctx, opts)
	}
	plan, err := s.planLayer(ctx, opts) // a bad request fails before a long stream is read
	if err != nil {
		return layer.Layer{}, err
	}
	st, err := s.layers.Stage(ctx, layer.StageOptions{
		Parent:     plan.Parent,
		Mapping:    plan.Mapping,
		MountLabel: plan.MountLabel,
		StorageOpt: plan.StorageOpt,
		Image:      plan.Image,
		Expect:     opts.Expect,
		ExpectBlob: opts.ExpectBlob,
		Progress:   opts.Progress,
	}, diff)
	if err != nil {
		return layer.Layer{}, err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	if opts.DeriveID {
		plan.ID = layer.ImageLayerID(plan.Parent, st.DiffID())
		if l, found, err := s.sameLayer(ctx, opts.Draft, plan.ID, st.DiffID()); found || err != nil {
			return l, err
		}
	}
	if err := st.Sync(ctx); err != nil {
		return layer.Layer{}, err
	}
	if opts.Draft != nil {
		if plan.ID == "" {
			plan.ID = layer.NewID()
		}
		if plan.Created, err = opts.Draft.making(plan.ID); err != nil {
			return layer.Layer{}, err
		}
	}
	return s.adoptLayer(ctx, st, plan.CreateOptions)
}

// sameLayer looks for a layer that somebody else has stored before. When it is there, it
// stays for who asked.
func (s *Store) sameLayer(ctx context.Context, d *Draft, id layer.ID, diff layer.DiffID) (l layer.Layer, found bool, err error) {
	found, err = s.ownedBy(ctx, d, id, func() bool {
		var err error
		l, err = s.Layer(ctx, string(id))
		return err == nil && l.ID == id && l.DiffID == diff
	})
	return l, found, err
}

// adoptLayer makes a stage a layer, if the parent is still one that can be.
func (s *Store) adoptLayer(ctx context.Context, st *layer.Stage, plan layer.CreateOptions) (l layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: exclusive, containers: shared})
	if err != nil {
		return layer.Layer{}, err
	}
	defer t.end(&err)
	if _, err := t.parentFor(string(plan.Parent)); err != nil {
		return layer.Layer{}, err
	}
	if err := faults.Hit("strata.adopt", s.roots.graph); err != nil {
		return layer.Layer{}, err
	}
	if l, err = t.writeLayers.Adopt(ctx, st, plan); err != nil {
		return layer.Layer{}, err
	}
	return l, t.writeLayers.Commit(ctx)
}

// layerFree looks only at the written store: an ID of an additional store may be
// used once more.
func (t *tx) layerFree(opts LayerOptions) error {
	if opts.ID != "" {
		if l, err := t.layers.Get(opts.ID); err == nil && !l.ReadOnly {
			return &layer.SubjectError{Subject: string(opts.ID), Err: layer.ErrDuplicateID}
		}
	}
	for _, name := range opts.Names {
		l, err := t.layers.Find(name)
		if err == nil && !l.ReadOnly && slices.Contains(l.Names, name) {
			return &layer.SubjectError{Subject: name, Err: layer.ErrDuplicateName}
		}
	}
	return nil
}

// ApplyDiff unpacks a tar, which may be compressed, into an existing layer and
// records its digests and sizes. Layers with children and mounted ones are
// allowed; layer.Store.ApplyDiff says how such a one is changed. An *UnknownError if the
// written store has no such layer; errdefs.ErrCorrupt for bad input, which changes nothing.
// When it fails or is cancelled, a layer that nobody has mounted is as it was.
func (s *Store) ApplyDiff(ctx context.Context, nameOrID string, diff io.Reader) (archive.Ingested, error) {
	return s.ApplyDiffWith(ctx, nameOrID, diff, layer.ApplyOptions{})
}

// ApplyDiffWith is ApplyDiff with digests that the diff has to have, and with progress.
func (s *Store) ApplyDiffWith(ctx context.Context, nameOrID string, diff io.Reader, opts layer.ApplyOptions) (archive.Ingested, error) {
	l, err := s.Layer(ctx, nameOrID)
	if err != nil {
		return archive.Ingested{}, err
	}
	if l.ReadOnly {
		return archive.Ingested{}, &UnknownError{Kind: KindLayer, Name: nameOrID}
	}
	return s.layers.ApplyDiff(ctx, l.ID, diff, opts)
}
