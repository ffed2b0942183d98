package container

import (
	"errors"
	"os"
	"slices"

	"github.com/stratastore/strata/image"
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
	FileOf(id string) int
	Clashes() []recordfile.Clash
	Close() error
}

// ReadTx is the store's containers while its lock is held. It is not safe for
// concurrent use. The caller closes it.
type ReadTx struct {
	store   *Store
	records records
}

// Close gives the lock back. A second call does nothing.
func (tx *ReadTx) Close() error { return tx.records.Close() }

// Containers returns all containers in listing order: creation order, records of
// the volatile file last.
func (tx *ReadTx) Containers() ([]Container, error) { return tx.all(tx.records.IDs()) }

func (tx *ReadTx) all(ids []string) ([]Container, error) {
	var out []Container
	for _, id := range ids {
		c, err := tx.Get(ID(id))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// Get returns the container with exactly this ID; ErrUnknown if there is none.
func (tx *ReadTx) Get(id ID) (Container, error) {
	r, ok, err := tx.records.Get(string(id))
	if err != nil {
		return Container{}, err
	}
	if !ok {
		return Container{}, ErrUnknown
	}
	transient := tx.store.transient && tx.records.FileOf(string(id)) == volatileFile
	return Container{Record: r, Transient: transient}, nil
}

// Lookup returns the container for an exact ID, else an exact name, else the ID
// of its layer, else a unique prefix of an ID. ErrUnknown if there is none, also
// for an ambiguous prefix.
func (tx *ReadTx) Lookup(text string) (Container, error) {
	id, err := tx.records.Lookup(text)
	if err == nil && id != text {
		// A prefix comes after a layer's ID.
		if c, byLayer := tx.ByLayer(layer.ID(text)); byLayer == nil && !tx.named(id, text) {
			return c, nil
		}
	}
	if errors.Is(err, ErrUnknown) {
		return tx.ByLayer(layer.ID(text))
	}
	if err != nil {
		return Container{}, err
	}
	return tx.Get(ID(id))
}

func (tx *ReadTx) named(id, name string) bool {
	r, ok, err := tx.records.Get(id)
	return err == nil && ok && slices.Contains(r.Names, name)
}

// ByLayer returns the container that has id as its writable layer; ErrUnknown if
// there is none.
func (tx *ReadTx) ByLayer(id layer.ID) (Container, error) {
	if id == "" {
		return Container{}, ErrUnknown
	}
	ids := tx.records.By(layerIndex, string(id))
	if len(ids) == 0 {
		return Container{}, ErrUnknown
	}
	return tx.Get(ID(ids[0]))
}

// ByImage returns the containers that were made from id, in listing order; none
// is not an error.
func (tx *ReadTx) ByImage(id image.ID) ([]Container, error) {
	return tx.all(tx.records.By(imageIndex, string(id)))
}

// OpenBigData opens one data item; what was opened stays readable when the
// transaction ends. The caller closes it.
func (tx *ReadTx) OpenBigData(id ID, key string) (*os.File, error) {
	return bigdata.Open(tx.store.DataDir(id), key)
}
