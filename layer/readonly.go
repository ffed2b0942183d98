package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// ReadOnly is a read-only layer of a ChainStore, as it was when it was looked up.
// It keeps nobody from removing the layer; a Ref does. Safe for concurrent use.
type ReadOnly struct {
	chains *ChainStore // nil for the empty layer
	layer  Layer
	parent *ReadOnly
}

// Ref is one counted reference to a layer. ChainStore.Release gives it back.
type Ref struct{ *ReadOnly }

// describe returns the layer id with all below it; seen has those described before.
func (c *ChainStore) describe(tx *ReadTx, id ID, seen map[ID]*ReadOnly) (*ReadOnly, error) {
	if id == "" {
		return nil, nil
	}
	if l := seen[id]; l != nil {
		return l, nil
	}
	stack, err := tx.Chain(id)
	if err != nil {
		return nil, err
	}
	var below *ReadOnly
	for i := len(stack) - 1; i >= 0; i-- {
		l := seen[stack[i].ID]
		if l == nil {
			l = &ReadOnly{chains: c, layer: stack[i], parent: below}
			seen[stack[i].ID] = l
		}
		below = l
	}
	return below, nil
}

// ChainID identifies the layer with all below it.
func (l *ReadOnly) ChainID() ChainID { return l.layer.Chain }

// DiffID is the digest of the layer's uncompressed tar.
func (l *ReadOnly) DiffID() DiffID { return l.layer.DiffID }

// CacheID is the layer's key in this store: the ID of its record, and its name in
// the driver. "" for the empty layer.
func (l *ReadOnly) CacheID() ID { return l.layer.ID }

// Parent is the layer below; nil for a base layer.
func (l *ReadOnly) Parent() *ReadOnly { return l.parent }

// DiffSize is the length of the layer's own uncompressed tar in bytes, as recorded.
func (l *ReadOnly) DiffSize() int64 {
	size, _ := l.layer.size()
	return size
}

// Size is the sum of DiffSize of the layer and all below it.
func (l *ReadOnly) Size() int64 {
	var sum int64
	for at := l; at != nil; at = at.parent {
		sum += at.DiffSize()
	}
	return sum
}

// Metadata returns the driver's facts about the layer (directories).
func (l *ReadOnly) Metadata(ctx context.Context) (map[string]string, error) {
	if l.chains == nil {
		return map[string]string{}, nil
	}
	return l.chains.metadata(ctx, l.layer.ID)
}

func (c *ChainStore) metadata(ctx context.Context, id ID) (map[string]string, error) {
	m, err := c.store.driver().Metadata(ctx, graphdriver.ID(id))
	if err != nil {
		return nil, fmt.Errorf("metadata of layer %s: %w", id, err)
	}
	return maps.Clone(m), nil
}

// TarStream returns the layer's exact uncompressed tar. Read returns an
// errdefs.ErrCorrupt instead of io.EOF when files of the store were modified.
// Everything else is as for Store.Diff.
func (l *ReadOnly) TarStream(ctx context.Context) (io.ReadCloser, error) {
	if l.chains == nil {
		return emptyTar(), nil
	}
	s := l.chains.store
	exact, err := s.openExact(ctx, l.layer.ID, "", uncompressed)
	if err != nil {
		return nil, errors.Join(err, closeStream(exact))
	}
	if exact != nil {
		return exact, nil
	}
	// Nothing was kept to put the tar together from: only a tar that happens to be
	// the same passes the check.
	computed, err := s.openComputed(ctx, l.layer.ID, "", uncompressed)
	if err != nil {
		return nil, err
	}
	return newCheckedReader(computed, l.layer.ID, l.layer.DiffID), nil
}

// uncompressed is for streams that are digested.
var uncompressed = DiffOptions{Packing: PackedAs(archive.None)}

// TarStreamFrom returns the tar that turns an ancestor into this layer; "" stands
// for the empty tree, so that the whole stack comes as one. ErrNotAncestor. Unless
// the ancestor is the parent, the tar is computed and nothing is known that it
// could be checked against.
func (l *ReadOnly) TarStreamFrom(ctx context.Context, ancestor ChainID) (io.ReadCloser, error) {
	if ancestor == "" && l.chains == nil {
		return emptyTar(), nil
	}
	if ancestor == "" {
		opts := uncompressed
		opts.Whole = true
		return l.chains.store.Diff(ctx, l.layer.ID, "", opts)
	}
	for at := l.parent; at != nil; at = at.parent {
		if at.ChainID() == ancestor {
			return l.chains.store.Diff(ctx, l.layer.ID, at.layer.ID, uncompressed)
		}
	}
	return nil, fmt.Errorf("diff of layer %s from %s: %w", l.ChainID(), ancestor, ErrNotAncestor)
}

// descriptorKey is the data item with the descriptor of RegisterWithDescriptor.
const descriptorKey = "descriptor.json"

// Descriptor returns what the layer was registered with; ErrDataUnknown if that was
// nothing.
func (l *ReadOnly) Descriptor(ctx context.Context) (d ocispec.Descriptor, err error) {
	if l.chains == nil {
		return d, about(descriptorKey, ErrDataUnknown)
	}
	tx, err := l.chains.store.View(ctx)
	if err != nil {
		return d, err
	}
	defer closing(&err, tx)
	data, err := tx.BigData(ctx, l.layer.ID, descriptorKey)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("descriptor of layer %s: %w: %w", l.layer.ID, err, errdefs.ErrCorrupt)
	}
	return d, nil
}

// EmptyDiffID is the diff ID of a tar without entries: 1024 zero bytes.
const EmptyDiffID DiffID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// EmptyLayer returns the layer that needs no store: no parent, no bytes, and a tar
// without entries. It is in no ChainStore unless somebody registers such a tar.
func EmptyLayer() *ReadOnly {
	return &ReadOnly{layer: Layer{Record: Record{DiffID: EmptyDiffID}, Chain: ChainID(EmptyDiffID)}}
}

func emptyTar() io.ReadCloser { return io.NopCloser(bytes.NewReader(make([]byte, 1024))) }
