package strata

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// The most that ImportStack stages before it adopts: each stage has files open, and
// what is staged is lost to a crash.
const (
	maxStaged      = 32
	maxStagedBytes = 2 << 30
)

// StackOptions belong to ImportStack.
type StackOptions struct {
	// Parent is the layer below the lowest, "" for none.
	Parent layer.ID
	// Draft, when not nil, keeps account of the layers for an image to be.
	Draft *Draft
}

// StackLayer is one layer of an image on its way in.
type StackLayer struct {
	// Expect and ExpectBlob, when not empty, are what the digests of the diff and of
	// its blob have to be.
	Expect     layer.DiffID
	ExpectBlob layer.BlobDigest
	// Open opens the tar, which may be compressed. ImportStack closes it.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Done, when not nil, is told when the layer has been read and unpacked, or why not.
	Done func(err error)
}

// ImportStack is ImportLayer, with DeriveID and Image, for the layers of an image, the
// lowest first. Where the driver can, they are staged on each other, made durable together, and adopted in
// one transaction; many layers at a time, not all of a very large image.
//
// It returns the layers that are in the store, also beside an error: all of them, or
// those of the transactions before the one that failed. layer.ErrDuplicateID when
// somebody else stores the same layers.
func (s *Store) ImportStack(ctx context.Context, opts StackOptions, stack []StackLayer) ([]layer.Layer, error) {
	var all []layer.Layer
	for len(stack) > 0 {
		some, err := s.importSome(ctx, opts, stack)
		if err != nil {
			return all, err
		}
		all, stack = append(all, some...), stack[len(some):]
		opts.Parent = all[len(all)-1].ID
	}
	return all, nil
}

// importSome imports at least the first layer.
func (s *Store) importSome(ctx context.Context, opts StackOptions, stack []StackLayer) (_ []layer.Layer, err error) {
	if !s.layers.CanStack() {
		return s.importOne(ctx, opts, stack[0])
	}
	plan, err := s.planLayer(ctx, LayerOptions{Parent: string(opts.Parent), Image: true})
	if err != nil {
		return nil, err
	}
	if plan.copies {
		return s.importOne(ctx, opts, stack[0])
	}
	b := &stackImport{store: s, draft: opts.Draft, plan: plan.CreateOptions}
	defer func() { err = errors.Join(err, b.discard()) }()
	for i := range stack {
		if i > 0 && (i == maxStaged || b.bytes > maxStagedBytes) {
			break
		}
		if err := b.stage(ctx, stack[i]); err != nil {
			return nil, err
		}
	}
	return b.adopt(ctx)
}

// importOne is for drivers that do not stage layers on each other.
func (s *Store) importOne(ctx context.Context, opts StackOptions, one StackLayer) ([]layer.Layer, error) {
	l, err := one.read(ctx, func(tar io.Reader) (layer.Layer, error) {
		return s.ImportLayer(ctx, LayerOptions{
			Parent: string(opts.Parent), Image: true, DeriveID: true, Expect: one.Expect, ExpectBlob: one.ExpectBlob, Draft: opts.Draft,
		}, tar)
	})
	if err != nil {
		return nil, err
	}
	return []layer.Layer{l}, nil
}

// read opens the tar for use and tells how it ended.
func (l *StackLayer) read(ctx context.Context, use func(io.Reader) (layer.Layer, error)) (out layer.Layer, err error) {
	if l.Done != nil {
		defer func() { l.Done(err) }()
	}
	tar, err := l.Open(ctx)
	if err != nil {
		return out, err
	}
	out, err = use(tar)
	if err = errors.Join(err, tar.Close()); err != nil {
		err = fmt.Errorf("layer %s: %w", l.name(), err)
	}
	return out, err
}

// name is for errors.
func (l *StackLayer) name() string {
	if l.ExpectBlob != "" {
		return string(l.ExpectBlob)
	}
	return string(l.Expect)
}

// stackImport is some layers, staged on each other.
type stackImport struct {
	store *Store
	draft *Draft
	plan  layer.CreateOptions // of the lowest; all have its mapping
	stack []layer.Adoption
	bytes int64
}

// stage unpacks the next layer.
func (b *stackImport) stage(ctx context.Context, l StackLayer) error {
	_, err := l.read(ctx, func(tar io.Reader) (layer.Layer, error) {
		opts := layer.StageOptions{
			Parent: b.plan.Parent, Mapping: b.plan.Mapping, Image: true, Expect: l.Expect, ExpectBlob: l.ExpectBlob,
		}
		return layer.Layer{}, b.add(ctx, opts, tar)
	})
	return err
}

func (b *stackImport) add(ctx context.Context, opts layer.StageOptions, tar io.Reader) error {
	if err := faults.Hit("strata.import.stage", b.store.roots.graph); err != nil {
		return err
	}
	below := b.plan.Parent
	var st *layer.Stage
	var err error
	if n := len(b.stack); n == 0 {
		st, err = b.store.layers.Stage(ctx, opts, tar)
	} else {
		below = b.stack[n-1].Options.ID
		st, err = b.store.layers.StageOn(ctx, b.stack[n-1].Stage, opts, tar)
	}
	if err != nil {
		return err
	}
	id := layer.ImageLayerID(below, st.DiffID())
	b.stack = append(b.stack, layer.Adoption{Stage: st, Options: layer.CreateOptions{ID: id}})
	b.bytes += st.Ingested().DiffSize
	return nil
}

// adopt makes the stages layers, if the parent is still one that can be. They are
// flushed before any lock is taken.
func (b *stackImport) adopt(ctx context.Context) (layers []layer.Layer, err error) {
	for _, a := range b.stack {
		if err := a.Stage.Sync(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.note(); err != nil {
		return nil, err
	}
	t, err := b.store.begin(ctx, want{layers: exclusive, containers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	if _, err := t.parentFor(string(b.plan.Parent)); err != nil {
		return nil, err
	}
	if err := faults.Hit("strata.import.adopt", b.store.roots.graph); err != nil {
		return nil, fmt.Errorf("import layers: %w", err)
	}
	if layers, err = t.writeLayers.AdoptStack(ctx, b.stack...); err != nil {
		return nil, fmt.Errorf("import layers: %w", err)
	}
	return layers, t.writeLayers.Commit(ctx)
}

// note gives account of the layers before there is any.
func (b *stackImport) note() error {
	var ids []layer.ID
	for _, a := range b.stack {
		ids = append(ids, a.Options.ID)
	}
	created, err := b.draft.making(ids...)
	for i := range b.stack {
		b.stack[i].Options.Created = created
	}
	return err
}

// discard lets go of the stages, the highest first.
func (b *stackImport) discard() error {
	var errs []error
	for i := len(b.stack) - 1; i >= 0; i-- {
		errs = append(errs, b.stack[i].Stage.Discard())
	}
	return errors.Join(errs...)
}
