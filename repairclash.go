package strata

import (
	"context"
	"encoding/json"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// settleClash leaves one record with an ID, and one with a name. Names are settled by
// opening the records for a change: nothing else is to be done.
func (r *repairer) settleClash(ctx context.Context, f Finding) error {
	if f.Name != "" {
		return r.change(ctx, func(*tx) error { return nil })
	}
	return r.change(ctx, func(t *tx) error {
		if !t.clashes(f) {
			return nil // somebody changed the file: there is one record now
		}
		if err := r.note("records-"+f.Kind.String()+"-"+f.ID, json.RawMessage(f.lost)); err != nil {
			return err
		}
		return t.keepRecord(f)
	})
}

// clashes reports whether the records with the finding's ID are still several.
func (t *tx) clashes(f Finding) bool {
	e := &exam{}
	e.addClashes(KindLayer, t.layers.Clashes())
	e.addClashes(KindImage, t.images.Clashes())
	e.addClashes(KindContainer, t.containers.Clashes())
	for _, c := range e.clashes {
		if c.kind == f.Kind && c.ID == f.ID && c.Name == "" {
			return true
		}
	}
	return false
}

func (t *tx) keepRecord(f Finding) error {
	text := json.RawMessage(f.keep)
	switch f.Kind {
	case KindLayer:
		return t.writeLayers.Keep(layer.ID(f.ID), text)
	case KindImage:
		return t.writeImages.Keep(image.ID(f.ID), text)
	default:
		return t.writeContainers.Keep(container.ID(f.ID), text)
	}
}
