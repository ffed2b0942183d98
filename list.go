package strata

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Layers returns all layers: creation order, the graph root's first, then the
// image store's, volatile ones, those of additional stores.
func (s *Store) Layers(ctx context.Context) (all []layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.layers.Layers()
}

// Images returns all images: creation order, the written stores' first, then
// those of additional stores.
func (s *Store) Images(ctx context.Context) (all []image.Image, err error) {
	t, err := s.begin(ctx, want{images: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.images.Images()
}

// Containers returns all containers: creation order, those of the volatile file last.
func (s *Store) Containers(ctx context.Context) (all []container.Container, err error) {
	t, err := s.begin(ctx, want{containers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.containers.Containers()
}

// Layer returns the layer with this ID, name or unique prefix of an ID; an
// *UnknownError if there is none.
func (s *Store) Layer(ctx context.Context, nameOrID string) (l layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return layer.Layer{}, err
	}
	defer t.end(&err)
	return t.layer(nameOrID)
}

// Image returns the image with this ID, name or unique prefix of an ID; an
// *UnknownError if there is none.
func (s *Store) Image(ctx context.Context, nameOrID string) (i image.Image, err error) {
	t, err := s.begin(ctx, want{images: shared})
	if err != nil {
		return image.Image{}, err
	}
	defer t.end(&err)
	return t.image(nameOrID)
}

// Container returns the container with this ID, name, layer or unique prefix of
// an ID; an *UnknownError if there is none.
func (s *Store) Container(ctx context.Context, nameOrID string) (c container.Container, err error) {
	t, err := s.begin(ctx, want{containers: shared})
	if err != nil {
		return container.Container{}, err
	}
	defer t.end(&err)
	return t.container(nameOrID)
}

func (t *tx) layer(nameOrID string) (layer.Layer, error) {
	l, err := t.layers.Find(nameOrID)
	return l, known(KindLayer, nameOrID, err)
}

func (t *tx) image(nameOrID string) (image.Image, error) {
	i, err := t.images.Lookup(nameOrID)
	return i, known(KindImage, nameOrID, err)
}

func (t *tx) container(nameOrID string) (container.Container, error) {
	c, err := t.containers.Lookup(nameOrID)
	return c, known(KindContainer, nameOrID, err)
}

// known turns a kind's ErrUnknown into an *UnknownError about name.
func known(kind Kind, name string, err error) error {
	unknown := &UnknownError{Kind: kind, Name: name}
	if err != nil && errors.Is(err, unknown.Unwrap()) {
		return unknown
	}
	return err
}

// LayersByDiff returns the layers whose uncompressed tar has this digest, in
// listing order; none is not an error.
func (s *Store) LayersByDiff(ctx context.Context, d layer.DiffID) (found []layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.layers.ByDiffID(d)
}

// LayersByBlob returns the layers that were made from a blob with this digest, in
// listing order; none is not an error.
func (s *Store) LayersByBlob(ctx context.Context, d layer.BlobDigest) (found []layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.layers.ByBlobDigest(d)
}

// LayersByTOC returns the layers with this digest of a table of contents, in
// listing order; none is not an error.
func (s *Store) LayersByTOC(ctx context.Context, d layer.TOCDigest) (found []layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.layers.ByTOCDigest(d)
}

// LayersByChain returns the layers whose stack has this chain ID, in listing
// order; none is not an error.
func (s *Store) LayersByChain(ctx context.Context, c layer.ChainID) (found []layer.Layer, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.layers.ByChainID(c)
}

// ImagesByDigest returns the images that have d as their digest or as that of one
// of their manifests, in listing order; none is not an error. A malformed digest
// is an errdefs.ErrInvalid.
func (s *Store) ImagesByDigest(ctx context.Context, d digest.Digest) (found []image.Image, err error) {
	if err := d.Validate(); err != nil {
		return nil, &digestError{err}
	}
	t, err := s.begin(ctx, want{images: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.images.ByDigest(d)
}

// ImagesByTopLayer returns the images that have id as top layer or as a mapped
// copy of it, in listing order; none is not an error.
func (s *Store) ImagesByTopLayer(ctx context.Context, id layer.ID) (found []image.Image, err error) {
	t, err := s.begin(ctx, want{images: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	return t.images.ByTopLayer(id)
}

// ContainerByLayer returns the container that has id as its writable layer; an
// *UnknownError if there is none.
func (s *Store) ContainerByLayer(ctx context.Context, id layer.ID) (c container.Container, err error) {
	t, err := s.begin(ctx, want{containers: shared})
	if err != nil {
		return container.Container{}, err
	}
	defer t.end(&err)
	c, err = t.containers.ByLayer(id)
	return c, known(KindContainer, string(id), err)
}

// digestError is the digest package's error, text and all, of our kind.
type digestError struct{ error }

func (e *digestError) Unwrap() []error { return []error{e.error, errdefs.ErrInvalid} }
