package layer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stratastore/strata/internal/bigdata"
)

// Layers returns all layers in listing order: layers.json, the image store,
// volatile ones, then the additional stores. An ID that exists in several stores
// comes several times.
func (tx *ReadTx) Layers() ([]Layer, error) {
	if tx.closed {
		return nil, ErrTxClosed
	}
	var all []Layer
	for _, v := range tx.views {
		for r, err := range v.All() {
			if err != nil {
				return nil, err
			}
			all = append(all, tx.layer(v, r))
		}
	}
	return all, nil
}

// IDs returns the IDs in listing order. It decodes nothing.
func (tx *ReadTx) IDs() []ID {
	var all []ID
	for _, v := range tx.views {
		for _, id := range v.IDs() {
			all = append(all, ID(id))
		}
	}
	return all
}

// Exists reports whether a layer has exactly this ID.
func (tx *ReadTx) Exists(id ID) bool { return tx.holder(id) != nil }

// holder returns the first view that has the layer, or nil.
func (tx *ReadTx) holder(id ID) *openPart {
	for i := range tx.views {
		if tx.views[i].Has(string(id)) {
			return &tx.views[i]
		}
	}
	return nil
}

// Get returns the layer with exactly this ID; ErrUnknown if there is none.
func (tx *ReadTx) Get(id ID) (Layer, error) {
	if tx.closed {
		return Layer{}, ErrTxClosed
	}
	v := tx.holder(id)
	if v == nil {
		return Layer{}, about(id, ErrUnknown)
	}
	r, _, err := v.Get(string(id))
	if err != nil {
		return Layer{}, err
	}
	return tx.layer(*v, r), nil
}

// layer adds to a record what else is known.
func (tx *ReadTx) layer(v openPart, r Record) Layer {
	m := tx.mounts[r.ID]
	return Layer{
		Record: r, ReadOnly: v.part.readOnly, Chain: tx.chain(r.ID),
		MountPath: m.Path, MountCount: m.Count,
	}
}

// Lookup returns the ID for an exact ID, else an exact name, else a unique
// prefix of an ID: in the writable store first, then in each additional one.
// ErrUnknown if there is none, also for an ambiguous prefix.
func (tx *ReadTx) Lookup(text string) (ID, error) {
	if tx.closed {
		return "", ErrTxClosed
	}
	for _, v := range tx.views {
		id, err := v.Lookup(text)
		if err == nil {
			return ID(id), nil
		}
		if !errors.Is(err, ErrUnknown) {
			return "", err
		}
	}
	return "", about(text, ErrUnknown)
}

// Find is Lookup and Get.
func (tx *ReadTx) Find(text string) (Layer, error) {
	id, err := tx.Lookup(text)
	if err != nil {
		return Layer{}, err
	}
	return tx.Get(id)
}

// ByDiffID returns the layers with that diff ID, in listing order; none is no error.
func (tx *ReadTx) ByDiffID(d DiffID) ([]Layer, error) { return tx.by(byDiff, string(d)) }

// ByBlobDigest returns the layers that were made from that blob, in listing order;
// none is no error.
func (tx *ReadTx) ByBlobDigest(d BlobDigest) ([]Layer, error) { return tx.by(byBlob, string(d)) }

// ByTOCDigest returns the layers with that table of contents, in listing order;
// none is no error.
func (tx *ReadTx) ByTOCDigest(d TOCDigest) ([]Layer, error) { return tx.by(byTOC, string(d)) }

// by looks up an index. Flagged layers are left out: their digests promise nothing.
func (tx *ReadTx) by(index, value string) ([]Layer, error) {
	if tx.closed {
		return nil, ErrTxClosed
	}
	var found []Layer
	for _, v := range tx.views {
		for _, id := range v.By(index, value) {
			r, _, err := v.Get(id)
			if err != nil {
				return nil, err
			}
			if !r.Incomplete() {
				found = append(found, tx.layer(v, r))
			}
		}
	}
	return found, nil
}

// BigData returns one data item; ErrDataUnknown if the layer has none of that name.
func (tx *ReadTx) BigData(ctx context.Context, id ID, key string) ([]byte, error) {
	if tx.closed {
		return nil, ErrTxClosed
	}
	v := tx.holder(id)
	if v == nil {
		return nil, about(id, ErrUnknown)
	}
	return readData(ctx, v.part.dir, id, key)
}

// readData reads an item by its file: as for the other engines, the list of names
// in the record does not decide.
func readData(ctx context.Context, dir string, id ID, key string) ([]byte, error) {
	path, err := dataPath(dir, id)
	if err != nil {
		return nil, err
	}
	data, err := bigdata.Read(ctx, path, key)
	if isMissing(err) {
		return nil, about(key, ErrDataUnknown)
	}
	if err != nil {
		return nil, fmt.Errorf("data item of layer %s: %w", id, err)
	}
	return data, nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
