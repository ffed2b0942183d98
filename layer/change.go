package layer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/objectid"
)

// SetNames replaces the layer's names; repeated ones count once. Names of other
// layers move here silently (on-disk format, 2.4). ErrUnknown;
// errdefs.ErrInvalid for an empty name. The change is saved by Commit.
func (tx *WriteTx) SetNames(id ID, names ...string) error {
	if tx.closed {
		return ErrTxClosed
	}
	if !tx.writable(id) {
		return about(id, ErrUnknown)
	}
	if err := objectid.ValidateNames("layer", names); err != nil {
		return err
	}
	return tx.records.AssignNames(string(id), objectid.Unique(names))
}

// AddNames puts names in front of the layer's own, in the order given; see SetNames.
// Old records may hold names that it would refuse; they stay.
func (tx *WriteTx) AddNames(id ID, names ...string) error {
	l, err := tx.own(id)
	if err != nil {
		return err
	}
	if err := objectid.ValidateNames("layer", names); err != nil {
		return err
	}
	return tx.records.AssignNames(string(id), objectid.Unique(slices.Concat(names, l.Names)))
}

// RemoveNames takes names away; those that the layer does not have do not matter.
// Old records may hold names that SetNames would refuse; they can be removed.
func (tx *WriteTx) RemoveNames(id ID, names ...string) error {
	l, err := tx.own(id)
	if err != nil {
		return err
	}
	return tx.records.AssignNames(string(id), objectid.Without(l.Names, names...))
}

// own is Get for a layer of the writable store.
func (tx *WriteTx) own(id ID) (Record, error) {
	if tx.closed {
		return Record{}, ErrTxClosed
	}
	r, known, err := tx.records.Get(string(id))
	if err == nil && !known {
		err = about(id, ErrUnknown)
	}
	return r, err
}

// SetMetadata replaces the creator's text. ErrUnknown; errdefs.ErrInvalid for what
// is not UTF-8. The change is saved by Commit.
func (tx *WriteTx) SetMetadata(id ID, text string) error {
	if err := objectid.ValidateText("metadata", text); err != nil {
		return err
	}
	return tx.update(id, func(r *Record) { r.Metadata = text })
}

// SetFlag sets one flag to a JSON value; nil removes it. ErrUnknown;
// errdefs.ErrInvalid for what is not JSON, and for FlagIncomplete, which is this
// package's. The change is saved by Commit.
func (tx *WriteTx) SetFlag(id ID, name string, value json.RawMessage) error {
	if name == FlagIncomplete || value != nil && !json.Valid(value) {
		return fmt.Errorf("flag %q of layer %s: %w", name, id, errdefs.ErrInvalid)
	}
	return tx.update(id, func(r *Record) {
		flags := maps.Clone(r.Flags)
		if flags == nil {
			flags = map[string]json.RawMessage{}
		}
		if flags[name] = value; value == nil {
			delete(flags, name)
		}
		r.Flags = flags
	})
}

// SetBigData replaces one data item: the file at once, its name in the record with
// Commit (on-disk format, 2.7). ErrUnknown; errdefs.ErrInvalid for a key that can
// not be a file name.
func (tx *WriteTx) SetBigData(ctx context.Context, id ID, key string, data []byte) error {
	r, err := tx.own(id)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.store.writeData(id, []Datum{{Key: key, Data: data}}); err != nil {
		return fmt.Errorf("layer %s: %w", id, err)
	}
	if slices.Contains(r.BigDataNames, key) {
		return nil
	}
	return tx.update(id, func(r *Record) { r.BigDataNames = append(slices.Clip(r.BigDataNames), key) })
}
