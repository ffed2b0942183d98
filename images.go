package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// CreateImage makes an image on an existing top layer, or without layers. The data
// items are on disk before one save makes the whole record visible, so that no
// engine ever meets half an image. An *UnknownError about the layer,
// image.ErrDuplicateID or image.ErrDuplicateName; when it fails or is cancelled,
// nothing remains.
func (s *Store) CreateImage(ctx context.Context, opts image.CreateOptions) (i image.Image, err error) {
	st, err := s.images.Stage(ctx, opts)
	if err != nil {
		return image.Image{}, err
	}
	defer func() { err = errors.Join(err, st.Discard()) }()
	t, err := s.begin(ctx, want{layers: shared, images: exclusive})
	if err != nil {
		return image.Image{}, err
	}
	defer t.end(&err)
	var top layer.Layer
	if opts.TopLayer != "" {
		if top, err = t.layer(opts.TopLayer); err != nil {
			return image.Image{}, err
		}
	}
	i, err = t.writeImages.Adopt(ctx, st, top.ID)
	if err != nil {
		return image.Image{}, err
	}
	return i, t.writeImages.Commit(ctx)
}
