package dockerroot

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// cacheIDs are the random names of layers in the graph driver.
var cacheIDs = regexp.MustCompile(`^[a-f0-9]{64}$`)

// layerEntry is one layer of the database.
type layerEntry struct {
	chain   layer.ChainID
	diff    layer.DiffID
	parent  layer.ChainID
	cacheID string
	// split is the file from which the layer's tar is put together again.
	split string
	// size is what Docker counted, for people; -1 when it is not known.
	size int64
}

// readLayers reads every layer of the database. One that can't be used is kept in
// broken with its reason; the images that need it will tell.
func (r *Root) readLayers() error {
	db := r.at("image", r.driver, "layerdb", "sha256")
	entries, err := r.names(db)
	if err != nil {
		return err
	}
	for _, base := range entries {
		d, ok := sha256Named(base)
		if !ok {
			continue // "…-removing" and what else the engine leaves
		}
		chain := layer.ChainID(d)
		l, err := r.readLayer(path.Join(db, base), chain)
		if err != nil {
			r.broken[chain] = err
			continue
		}
		r.layers[chain] = l
	}
	return nil
}

func (r *Root) readLayer(dir string, chain layer.ChainID) (*layerEntry, error) {
	l := &layerEntry{chain: chain, split: path.Join(dir, "tar-split.json.gz"), size: -1}
	diff, err := r.digest(path.Join(dir, "diff"))
	if err != nil {
		return nil, required(err)
	}
	l.diff = layer.DiffID(diff)
	parent, err := r.digest(path.Join(dir, "parent"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l.parent = layer.ChainID(parent)
	if l.cacheID, err = r.value(path.Join(dir, "cache-id")); err != nil {
		return nil, required(err)
	}
	if !cacheIDs.MatchString(l.cacheID) {
		return nil, fmt.Errorf("cache-id holds %q, which is no ID: %w", l.cacheID, errdefs.ErrCorrupt)
	}
	if want := l.parent.Child(l.diff); want != chain {
		return nil, fmt.Errorf("parent and diff give the chain ID %s: %w", want, errdefs.ErrCorrupt)
	}
	if text, err := r.value(path.Join(dir, "size")); err == nil {
		l.setSize(text)
	}
	return l, nil
}

func (l *layerEntry) setSize(text string) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		l.size = n
	}
}

// chain finds the layers of a stack of diff IDs, base first.
func (r *Root) chain(diffs []layer.DiffID) ([]*layerEntry, error) {
	var list []*layerEntry
	for _, chain := range layer.ChainIDs(diffs) {
		l, ok := r.layers[chain]
		if !ok {
			return list, &layerError{chain, r.lost(chain)}
		}
		list = append(list, l)
	}
	return list, nil
}

// lost is the reason why a layer is not there.
func (r *Root) lost(chain layer.ChainID) error {
	if err := r.broken[chain]; err != nil {
		return err
	}
	return fmt.Errorf("it is not in the database: %w", errdefs.ErrCorrupt)
}

// layerError is what is wrong with a layer.
type layerError struct {
	chain layer.ChainID
	err   error
}

func (e *layerError) Error() string { return fmt.Sprintf("layer %s: %v", e.chain, e.err) }
func (e *layerError) Unwrap() error { return e.err }

// skipLayers notes the broken layers that no image has told of.
func (r *Root) skipLayers() {
	told := map[layer.ChainID]bool{}
	for _, img := range r.images {
		var about *layerError
		if errors.As(img.err, &about) {
			told[about.chain] = true
		}
	}
	for _, chain := range slices.Sorted(maps.Keys(r.broken)) {
		if !told[chain] {
			r.skip("%w", &layerError{chain, r.broken[chain]})
		}
	}
}
