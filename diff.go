package strata

import (
	"context"
	"fmt"
	"io"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/layer"
)

// Compression asks for the packing of a diff. The zero value takes the one of the
// blob that the layer was made from, or none.
type Compression int

// The packings. Gzip, Zstd and None can be written; the others are
// errdefs.ErrUnsupported ("unsupported compression format tar.xz").
const (
	CompressionRecorded Compression = iota
	CompressionNone
	CompressionGzip
	CompressionZstd
	CompressionBzip2
	CompressionXz
)

func (c Compression) packing() layer.Packing {
	switch c {
	case CompressionNone:
		return layer.PackedAs(archive.None)
	case CompressionGzip:
		return layer.PackedAs(archive.Gzip)
	case CompressionZstd:
		return layer.PackedAs(archive.Zstd)
	case CompressionBzip2:
		return layer.PackedAs(archive.Bzip2)
	case CompressionXz:
		return layer.PackedAs(archive.Xz)
	default:
		return layer.Recorded
	}
}

// DiffOptions belong to Diff.
type DiffOptions struct {
	// Compression is the packing of the stream.
	Compression Compression
}

// Diff returns the tar that turns from into to, with AUFS whiteouts; from "" means
// the parent of to. Either is a layer, else a container. A layer that came as a
// tar gives back exactly that tar against its parent. No lock is held once Diff
// has returned; the caller closes the stream, early if it likes. An *UnknownError
// about a layer if there is neither.
func (s *Store) Diff(ctx context.Context, to, from string, opts DiffOptions) (io.ReadCloser, error) {
	p, err := s.pair(ctx, to, from)
	if err != nil {
		return nil, err
	}
	p.opts.Packing = opts.Compression.packing()
	r, err := s.layers.Diff(ctx, p.to, p.from, p.opts)
	return r, known(KindLayer, to, err)
}

// Changes lists what to changed against from ("" its parent), sorted by path; the
// root directory is never listed. Either is a layer, else a container.
func (s *Store) Changes(ctx context.Context, to, from string) ([]archive.Change, error) {
	p, err := s.pair(ctx, to, from)
	if err != nil {
		return nil, err
	}
	changes, err := s.layers.Changes(ctx, p.to, p.from, p.opts)
	return changes, known(KindLayer, to, err)
}

// DiffSize returns the bytes of regular files that to has and from ("" its
// parent) has not. Either is a layer, else a container.
func (s *Store) DiffSize(ctx context.Context, to, from string) (int64, error) {
	p, err := s.pair(ctx, to, from)
	if err != nil {
		return 0, err
	}
	n, err := s.layers.DiffSize(ctx, p.to, p.from, p.opts)
	return n, known(KindLayer, to, err)
}

// pair is two layers to compare; from may be "".
type pair struct {
	to, from layer.ID
	opts     layer.DiffOptions
}

// pair looks both names up under one lock each and notes the ID mapping of a
// container whose layer is shifted only while it is mounted.
func (s *Store) pair(ctx context.Context, to, from string) (p pair, err error) {
	t, err := s.begin(ctx, want{layers: shared, containers: shared})
	if err != nil {
		return pair{}, err
	}
	defer t.end(&err)
	if p.to, err = t.comparable(to); err != nil {
		return pair{}, err
	}
	if from != "" {
		if p.from, err = t.comparable(from); err != nil {
			return pair{}, fmt.Errorf("base: %w", err)
		}
	}
	if c, err := t.containers.ByLayer(p.to); err == nil {
		p.opts.Mapping = c.Mapping()
	}
	return p, nil
}

// comparable returns the layer of that name, else the layer of the container.
func (t *tx) comparable(nameOrID string) (layer.ID, error) {
	l, err := t.layer(nameOrID)
	if err == nil || !isUnknown(err) {
		return l.ID, err
	}
	c, containerErr := t.containers.Lookup(nameOrID)
	if containerErr != nil {
		return "", err
	}
	return c.Layer, nil
}
