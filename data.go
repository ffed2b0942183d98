package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// ListBigData returns the keys of an object's data items in the order of first
// setting. An *UnknownError if there is no such object.
func (s *Store) ListBigData(ctx context.Context, kind Kind, nameOrID string) ([]string, error) {
	v, err := s.inventory(ctx, kind, nameOrID)
	return v.BigDataNames, err
}

// inventory returns what an object's record says about its data items: of a layer's, the
// keys alone.
func (s *Store) inventory(ctx context.Context, kind Kind, nameOrID string) (v bigdata.Inventory, err error) {
	t, err := s.begin(ctx, readOnly(kind))
	if err != nil {
		return v, err
	}
	defer t.end(&err)
	switch kind {
	case KindLayer:
		l, err := t.layer(nameOrID)
		return bigdata.Inventory{BigDataNames: l.BigDataNames}, err
	case KindImage:
		i, err := t.image(nameOrID)
		return i.Inventory, err
	default:
		c, err := t.container(nameOrID)
		return c.Inventory, err
	}
}

// BigData returns one data item. An *UnknownError if there is no such object,
// fs.ErrNotExist if it has no such item. Items of images and containers are read
// with no lock held.
func (s *Store) BigData(ctx context.Context, kind Kind, nameOrID, key string) ([]byte, error) {
	if kind == KindLayer {
		return s.layerData(ctx, nameOrID, key)
	}
	f, err := s.OpenBigData(ctx, kind, nameOrID, key)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing to lose
	return bigdata.ReadAll(ctx, f)
}

func (s *Store) layerData(ctx context.Context, nameOrID, key string) (data []byte, err error) {
	t, err := s.begin(ctx, want{layers: shared})
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	l, err := t.layer(nameOrID)
	if err != nil {
		return nil, err
	}
	data, err = t.layers.BigData(ctx, l.ID, key)
	return data, noItem(err, fmt.Sprintf("locating item named %q for layer with ID %q", key, l.ID))
}

// noItem words the lack of a data item as the other engines do.
func noItem(err error, locating string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, layer.ErrDataUnknown) {
		return fmt.Errorf("%s: %w", locating, fs.ErrNotExist)
	}
	return fmt.Errorf("%s: %w", locating, err)
}

// OpenBigData opens one data item for reading in pieces; errors as BigData's. What was
// opened stays as it is when the item is replaced. The caller closes it.
func (s *Store) OpenBigData(ctx context.Context, kind Kind, nameOrID, key string) (f *os.File, err error) {
	t, err := s.begin(ctx, readOnly(kind))
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	switch kind {
	case KindLayer:
		l, err := t.layer(nameOrID)
		if err != nil {
			return nil, err
		}
		f, err := s.layers.OpenBigData(l, key)
		return f, noItem(err, fmt.Sprintf("locating item named %q for layer with ID %q", key, l.ID))
	case KindImage:
		i, err := t.image(nameOrID)
		if err != nil {
			return nil, err
		}
		f, err := t.images.OpenBigData(i, key)
		return f, noItem(err, fmt.Sprintf("locating item named %q for image with ID %q (consider removing the image to resolve the issue)", key, i.ID))
	case KindContainer:
		c, err := t.container(nameOrID)
		if err != nil {
			return nil, err
		}
		return t.containers.OpenBigData(c.ID, key)
	}
	return nil, fmt.Errorf("open data item of a %s: %w", kind, errdefs.ErrUnsupported)
}

// SetBigData replaces one data item of an object of the written store. A manifest
// item ("manifest…") of an image also adds its digest to those that find the
// image. An *UnknownError if there is no such object; an errdefs.ErrInvalid for a
// key that can not be a file name.
func (s *Store) SetBigData(ctx context.Context, kind Kind, nameOrID, key string, data []byte) error {
	switch kind {
	case KindLayer:
		return s.setLayerData(ctx, nameOrID, key, data)
	case KindImage:
		return s.setImageData(ctx, nameOrID, image.BigDatum{Key: key, Data: data})
	default:
		return s.setContainerData(ctx, nameOrID, container.BigDatum{Key: key, Data: data})
	}
}

func (s *Store) setLayerData(ctx context.Context, nameOrID, key string, data []byte) (err error) {
	if key == "" {
		return fmt.Errorf("can't set empty name for layer big data item: %w", image.ErrInvalidDataName)
	}
	t, err := s.begin(ctx, want{layers: exclusive})
	if err != nil {
		return err
	}
	defer t.end(&err)
	l, err := t.layer(nameOrID)
	if err != nil {
		return err
	}
	if l.ReadOnly {
		return &UnknownError{Kind: KindLayer, Name: nameOrID}
	}
	if err := t.writeLayers.SetBigData(ctx, l.ID, key, data); err != nil {
		return err
	}
	return t.writeLayers.Commit(ctx)
}

func (s *Store) setImageData(ctx context.Context, nameOrID string, it image.BigDatum) (err error) {
	staged, err := s.images.StageItem(ctx, it)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, staged.Discard()) }()
	t, err := s.begin(ctx, want{images: exclusive})
	if err != nil {
		return err
	}
	defer t.end(&err)
	i, err := t.images.LookupWritable(nameOrID)
	if err != nil {
		return known(KindImage, nameOrID, err)
	}
	recorded, err := it.RecordedDigest()
	if err != nil {
		return err
	}
	note, err := s.noteItem(imageObject(i), i.BigDataSizes, it.Key, it.Data, recorded)
	if err != nil {
		return err
	}
	defer end(note, &err)
	if err := t.writeImages.SetBigData(i.ID, staged); err != nil {
		return err
	}
	return t.writeImages.Commit(ctx)
}

func (s *Store) setContainerData(ctx context.Context, nameOrID string, it container.BigDatum) (err error) {
	staged, err := s.containers.StageItem(ctx, it)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, staged.Discard()) }()
	t, err := s.begin(ctx, want{containers: exclusive})
	if err != nil {
		return err
	}
	defer t.end(&err)
	c, err := t.container(nameOrID)
	if err != nil {
		return err
	}
	note, err := s.noteItem(Object{Kind: KindContainer, ID: string(c.ID)}, c.BigDataSizes, it.Key, it.Data, digest.FromBytes(it.Data))
	if err != nil {
		return err
	}
	defer end(note, &err)
	if err := t.writeContainers.SetBigData(c.ID, staged); err != nil {
		return err
	}
	return t.writeContainers.Commit(ctx)
}

// BigDataSize returns the length of a data item in bytes: the recorded one of an image's or
// a container's, and that of a layer's file, of which nothing is recorded. An *UnknownError if
// there is no such object; for what has no such item image.ErrSizeUnknown, about a layer
// fs.ErrNotExist.
func (s *Store) BigDataSize(ctx context.Context, kind Kind, nameOrID, key string) (int64, error) {
	if kind == KindLayer {
		return s.layerDataSize(ctx, nameOrID, key)
	}
	v, err := s.inventory(ctx, kind, nameOrID)
	if err != nil {
		return 0, err
	}
	return v.ItemSize(key)
}

func (s *Store) layerDataSize(ctx context.Context, nameOrID, key string) (n int64, err error) {
	f, err := s.OpenBigData(ctx, KindLayer, nameOrID, key)
	if err != nil {
		return 0, err
	}
	defer f.Close() // read only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// BigDataDigest returns the digest of a data item: the recorded one of an image's or a
// container's, and that of a layer's file, which is read. An *UnknownError if there is no
// such object; for what has no such item image.ErrDigestUnknown, about a layer fs.ErrNotExist.
func (s *Store) BigDataDigest(ctx context.Context, kind Kind, nameOrID, key string) (digest.Digest, error) {
	if kind == KindLayer {
		data, err := s.BigData(ctx, kind, nameOrID, key)
		if err != nil {
			return "", err
		}
		return digest.FromBytes(data), nil
	}
	v, err := s.inventory(ctx, kind, nameOrID)
	if err != nil {
		return "", err
	}
	return v.ItemDigest(key)
}
