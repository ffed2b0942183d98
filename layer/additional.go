package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// maxInfo bounds the record of a layer in an additional layer store, in bytes.
const maxInfo = 16 << 20

// Additional is a layer of an additional layer store (on-disk format, 4.11): a directory
// that another program provides, which a layer can be made of without copying it.
type Additional struct {
	store *Store
	layer graphdriver.AdditionalLayer
	// Record is what the store says about the layer: digests, sizes, owners.
	Record Record
}

// FindAdditional finds a layer in the additional layer stores by its table of contents; ref
// is the image that it is wanted for, which some stores ask for. ErrUnknown if no store has
// it, or the driver serves none. The store is told that the layer is in use; the caller
// calls Release.
func (s *Store) FindAdditional(ctx context.Context, toc TOCDigest, ref string) (*Additional, error) {
	driver, ok := s.driver().(graphdriver.AdditionalLayers)
	if !ok {
		return nil, about(toc, ErrUnknown)
	}
	if err := toc.Validate(); err != nil {
		return nil, err
	}
	found, err := driver.FindAdditional(ctx, string(toc), ref)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", err, about(toc, ErrUnknown))
	}
	if err != nil {
		return nil, err
	}
	a := &Additional{store: s, layer: found}
	if a.Record, err = readInfo(found); err != nil {
		return nil, errors.Join(fmt.Errorf("additional layer %s: %w", toc, err), a.Release())
	}
	if a.Record.TOCDigest == "" {
		a.Record.TOCDigest = toc
	}
	return a, nil
}

// Validate refuses what is not a digest of a known algorithm.
func (d TOCDigest) Validate() error { return DiffID(d).Validate() }

func readInfo(l graphdriver.AdditionalLayer) (r Record, err error) {
	f, err := l.Info()
	if err != nil {
		return r, err
	}
	defer f.Close() // only read
	if err := json.NewDecoder(io.LimitReader(f, maxInfo)).Decode(&r); err != nil {
		return r, fmt.Errorf("its record: %w: %w", err, errdefs.ErrCorrupt)
	}
	if r.DiffID != "" {
		err = r.DiffID.Validate()
	}
	return r, err
}

// Release tells the additional layer store that the layer is not needed here any more.
// Layers that were made of it keep it in use by themselves. Always safe to defer.
func (a *Additional) Release() error { return a.layer.Release() }

// CreateFrom makes a layer of one of an additional layer store: its content stays there. It
// can be mounted, read-only, and stood on. Errors and what Commit does are those of Create.
func (tx *WriteTx) CreateFrom(ctx context.Context, a *Additional, opts CreateOptions) (Layer, error) {
	if a.store != tx.store {
		return Layer{}, fmt.Errorf("create layer: %w", errForeignStage)
	}
	opts.Image = true
	opts.Mapping = a.Record.Mapping()
	r := opts.record()
	r.copyContent(&a.Record)
	fill := func() error {
		return a.layer.CreateAs(ctx, graphdriver.ID(r.ID), graphdriver.ID(r.Parent))
	}
	return tx.create(ctx, r, opts, fill)
}

// additionalSource is the tar of a layer that an additional layer store holds; nil for any
// other layer.
func (s *Store) additionalSource(ctx context.Context, l *Layer) (tarSource, error) {
	driver, ok := s.driver().(graphdriver.AdditionalLayers)
	if !ok {
		return nil, nil
	}
	a, err := driver.AdditionalOf(ctx, graphdriver.ID(l.ID))
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	blob, err := a.Blob()
	if isMissing(err) {
		return nil, nil // computed from the files then
	}
	if err != nil {
		return nil, fmt.Errorf("diff of layer %s: %w", l.ID, err)
	}
	tar, _, err := archive.Decompress(blob)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("diff of layer %s: %w", l.ID, err), blob.Close())
	}
	return &copySource{&unpackedBlob{ReadCloser: tar, blob: blob}}, nil
}

// unpackedBlob closes the blob behind its content.
type unpackedBlob struct {
	io.ReadCloser
	blob io.Closer
}

func (u *unpackedBlob) Close() error { return errors.Join(u.ReadCloser.Close(), u.blob.Close()) }
