package image

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
)

// records is what both kinds of record transaction can do.
type records interface {
	IDs() []string
	Get(id string) (Record, bool, error)
	Lookup(text string) (string, error)
	By(index, value string) []string
	Clashes() []recordfile.Clash
	Close() error
}

// noRecords stands for a part that can not be read.
type noRecords struct{}

func (noRecords) IDs() []string                    { return nil }
func (noRecords) Get(string) (Record, bool, error) { return Record{}, false, nil }
func (noRecords) Lookup(string) (string, error)    { return "", ErrUnknown }
func (noRecords) By(string, string) []string       { return nil }
func (noRecords) Clashes() []recordfile.Clash      { return nil }
func (noRecords) Close() error                     { return nil }

// ReadTx is the store's images while its locks are held. It is not safe for
// concurrent use. The caller closes it.
type ReadTx struct {
	store *Store
	parts []records
}

// Close gives the locks back, last taken first. A second call does nothing.
func (tx *ReadTx) Close() error {
	var errs []error
	for _, p := range slices.Backward(tx.parts) {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Images returns all images in listing order: creation order within a part, the
// written parts first. An ID that several parts have is listed for each.
func (tx *ReadTx) Images() ([]Image, error) {
	var out []Image
	for home, p := range tx.parts {
		for _, id := range p.IDs() {
			img, ok, err := tx.get(home, id)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, img)
			}
		}
	}
	return out, nil
}

// get returns one image of one part.
func (tx *ReadTx) get(home int, id string) (Image, bool, error) {
	r, ok, err := tx.parts[home].Get(id)
	if err != nil || !ok {
		return Image{}, false, err
	}
	return tx.store.image(home, r), true, nil
}

// image completes a record as it is shown: a missing digest is that of the first
// manifest item (on-disk format, 2.4).
func (s *Store) image(home int, r Record) Image {
	if r.Digest == "" {
		if digests := r.Digests(); len(digests) > 0 {
			r.Digest = digests[0]
		}
	}
	return Image{Record: r, ReadOnly: s.parts[home].readOnly, home: home}
}

// Get returns the image with exactly this ID, from the first part that has it;
// ErrUnknown if none does.
func (tx *ReadTx) Get(id ID) (Image, error) {
	for home := range tx.parts {
		if img, ok, err := tx.get(home, string(id)); err != nil || ok {
			return img, err
		}
	}
	return Image{}, ErrUnknown
}

// Lookup returns the image for an exact ID, else an exact name, else a unique
// prefix of an ID, looking through the parts in order. ErrUnknown if there is
// none, also for an ambiguous prefix.
func (tx *ReadTx) Lookup(text string) (Image, error) { return tx.lookup(text, len(tx.parts)) }

// LookupWritable is Lookup among the images that can be changed.
func (tx *ReadTx) LookupWritable(text string) (Image, error) {
	writable := slices.IndexFunc(tx.store.parts, func(p part) bool { return p.readOnly })
	if writable < 0 {
		writable = len(tx.parts)
	}
	return tx.lookup(text, writable)
}

func (tx *ReadTx) lookup(text string, parts int) (Image, error) {
	for home, p := range tx.parts[:parts] {
		id, err := p.Lookup(text)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return Image{}, err
		}
		if img, ok, err := tx.get(home, id); err != nil || ok {
			return img, err
		}
	}
	return Image{}, ErrUnknown
}

// ByDigest returns the images that have d among their Digests, in listing order;
// none is not an error.
func (tx *ReadTx) ByDigest(d digest.Digest) ([]Image, error) {
	return tx.by(digestIndex, d.String())
}

// ByTopLayer returns the images that have id as top layer or as a mapped copy of
// it, in listing order; none is not an error.
func (tx *ReadTx) ByTopLayer(id layer.ID) ([]Image, error) {
	return tx.by(layerIndex, id.String())
}

func (tx *ReadTx) by(index, value string) ([]Image, error) {
	var out []Image
	for home, p := range tx.parts {
		for _, id := range p.By(index, value) {
			img, ok, err := tx.get(home, id)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, img)
			}
		}
	}
	return out, nil
}

// BigData returns one data item: fs.ErrNotExist if there is none.
func (tx *ReadTx) BigData(ctx context.Context, i Image, key string) ([]byte, error) {
	return bigdata.Read(ctx, tx.store.DataDir(i), key)
}

// OpenBigData opens one data item; what was opened stays readable when the
// transaction ends. The caller closes it.
func (tx *ReadTx) OpenBigData(i Image, key string) (*os.File, error) {
	return bigdata.Open(tx.store.DataDir(i), key)
}
