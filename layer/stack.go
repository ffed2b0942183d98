package layer

import (
	"errors"
)

// Children returns the IDs of the layers directly on top of id, in listing order.
func (tx *ReadTx) Children(id ID) []ID {
	var children []ID
	if id == "" {
		return nil
	}
	for _, v := range tx.views {
		for _, child := range v.By(byParent, string(id)) {
			children = append(children, ID(child))
		}
	}
	return children
}

// Chain returns id's layer and all below it, top first. When a record is missing
// below, the layers above it are returned together with an ErrParentUnknown;
// records that stand on each other in a circle are an errdefs.ErrCorrupt.
func (tx *ReadTx) Chain(id ID) ([]Layer, error) {
	l, err := tx.Get(id)
	if err != nil {
		return nil, err
	}
	stack := []Layer{l}
	seen := map[ID]bool{id: true}
	for l.Parent != "" {
		if seen[l.Parent] {
			return stack, circle(l.Parent)
		}
		seen[l.Parent] = true
		parent := l.Parent
		if l, err = tx.Get(parent); errors.Is(err, ErrUnknown) {
			return stack, about(parent, ErrParentUnknown)
		}
		if err != nil {
			return stack, err
		}
		stack = append(stack, l)
	}
	return stack, nil
}

// Size returns the recorded length of the layer's uncompressed tar in bytes;
// ErrSizeUnknown when it has none. Nothing is read or mounted.
func (tx *ReadTx) Size(id ID) (int64, error) {
	l, err := tx.Get(id)
	if err != nil {
		return 0, err
	}
	if size, known := l.size(); known {
		return size, nil
	}
	return 0, about(id, ErrSizeUnknown)
}

func (r *Record) size() (size int64, known bool) {
	return r.DiffSize, (r.DiffID != "" || r.TOCDigest != "") && r.DiffSize >= 0
}

// ChainSize is the sum of the known sizes of id and all layers below it, in
// bytes; layers that were filled by hand count nothing. Errors are Chain's.
func (tx *ReadTx) ChainSize(id ID) (int64, error) {
	stack, err := tx.Chain(id)
	var sum int64
	for i := range stack {
		if size, known := stack[i].size(); known {
			sum += size
		}
	}
	return sum, err
}
