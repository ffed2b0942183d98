package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/layer"
)

// member is one derived key of an object's JSON.
type member struct {
	key   string
	value any
}

// object is a record's JSON with derived keys behind the recorded ones.
func object(record any, derived ...member) (json.RawMessage, error) {
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	b := bytes.NewBuffer(bytes.TrimSuffix(raw, []byte("}")))
	for _, m := range derived {
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", m.key, err)
		}
		fmt.Fprintf(b, ",%q:%s", m.key, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// richLayer is a layer's record with what else is known of it.
func richLayer(l layer.Layer) (json.RawMessage, error) {
	derived := append([]member{{"read-only", l.ReadOnly}}, mounts(l)...)
	if l.Chain != "" {
		derived = append(derived, member{"chain-id", l.Chain})
	}
	if size, ok := layerSize(l); ok {
		derived = append(derived, member{"size", size})
	}
	return object(l.Record, derived...)
}

// layerSize is the recorded size of the layer's tar in bytes, if there is one.
func layerSize(l layer.Layer) (int64, bool) {
	return l.DiffSize, l.DiffID != "" && l.DiffSize >= 0
}

func richImage(i image.Image, idx *index) (json.RawMessage, error) {
	derived := []member{{"read-only", i.ReadOnly}}
	if l, ok := idx.layers[i.TopLayer]; ok && l.Chain != "" {
		derived = append(derived, member{"chain-id", l.Chain})
	}
	if size, ok := idx.imageSize(i); ok {
		derived = append(derived, member{"size", size})
	}
	return object(i.Record, derived...)
}

func richContainer(c container.Container, idx *index) (json.RawMessage, error) {
	derived := []member{{"read-only", false}}
	if l, ok := idx.layers[c.Layer]; ok {
		derived = append(derived, mounts(l)...)
	}
	return object(c.Record, derived...)
}

// mounts tells how often and where a layer is mounted.
func mounts(l layer.Layer) []member {
	list := []member{{"mount-count", l.MountCount}}
	if l.MountPath != "" {
		list = append(list, member{"mount-path", l.MountPath})
	}
	return list
}

// index finds the objects of a snapshot by what refers to them.
type index struct {
	snap       *strata.Snapshot
	layers     map[layer.ID]layer.Layer
	images     map[layer.ID][]image.Image
	containers map[layer.ID][]container.Container
	byID       map[image.ID]image.Image
}

// takeIndex indexes the store as it is now.
func takeIndex(ctx context.Context, store *strata.Store) (*index, error) {
	snap, err := store.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return newIndex(snap), nil
}

func newIndex(snap *strata.Snapshot) *index {
	idx := &index{
		snap:       snap,
		layers:     make(map[layer.ID]layer.Layer, len(snap.Layers)),
		images:     make(map[layer.ID][]image.Image, len(snap.Images)),
		containers: make(map[layer.ID][]container.Container, len(snap.Containers)),
		byID:       make(map[image.ID]image.Image, len(snap.Images)),
	}
	for _, l := range snap.Layers {
		if _, shadowed := idx.layers[l.ID]; !shadowed {
			idx.layers[l.ID] = l
		}
	}
	for _, i := range snap.Images {
		if _, shadowed := idx.byID[i.ID]; !shadowed {
			idx.byID[i.ID] = i
		}
		for _, top := range i.TopLayers() {
			idx.images[top] = append(idx.images[top], i)
		}
	}
	for _, c := range snap.Containers {
		idx.containers[c.Layer] = append(idx.containers[c.Layer], c)
	}
	return idx
}

// imageSize sums the recorded sizes of the image's layers, each once, and of its
// data items; false when a layer is missing.
func (idx *index) imageSize(i image.Image) (int64, bool) {
	size := i.DataSize()
	seen := map[layer.ID]bool{}
	for _, id := range i.TopLayers() {
		for id != "" && !seen[id] {
			seen[id] = true
			l, ok := idx.layers[id]
			if !ok {
				return 0, false
			}
			size += max(l.DiffSize, 0)
			id = l.Parent
		}
	}
	return size, true
}

// richList makes the modern JSON of a list; never null.
func richList[T any](list []T, one func(T) (json.RawMessage, error)) (any, error) {
	out := make([]json.RawMessage, 0, len(list))
	for _, item := range list {
		raw, err := one(item)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}

// records takes the records out of a list; nil for an empty one.
func records[T, R any](list []T, record func(T) R) []R {
	var out []R
	for _, item := range list {
		out = append(out, record(item))
	}
	return out
}

func layerRecord(l layer.Layer) layer.Record                 { return l.Record }
func imageRecord(i image.Image) image.Record                 { return i.Record }
func containerRecord(c container.Container) container.Record { return c.Record }

// imageName is how a container's image is shown: by a name if it has one.
func (idx *index) imageName(id image.ID) string {
	if i, ok := idx.byID[id]; ok && len(i.Names) > 0 {
		return i.Names[0]
	}
	return orDash(table.ShortID(string(id)))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// orNone stands in for the names of an object that has none.
func orNone(names []string) []string {
	if len(names) == 0 {
		return []string{"-"}
	}
	return names
}
