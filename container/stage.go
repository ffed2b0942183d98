package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/objectid"
)

// Stage is a container record on its way in: its data items are on disk, but no
// record speaks of them. It is not safe for concurrent use.
type Stage struct {
	record Record
	items  *bigdata.Stage // nil without items
}

// Record returns what the container's record will be.
func (st *Stage) Record() Record { return st.record }

// Discard removes what was not adopted. Always safe to defer.
func (st *Stage) Discard() error { return st.items.Discard() }

// Stage checks opts and writes the data items aside, with no lock held. A
// cancelled or failed call leaves nothing. The caller adopts or discards the stage.
func (s *Store) Stage(ctx context.Context, opts CreateOptions) (*Stage, error) {
	opts.Volatile = opts.Volatile || s.transient
	record, err := newRecord(opts)
	if err != nil {
		return nil, err
	}
	st := &Stage{record: record}
	if st.items, err = s.stageItems(ctx, opts.BigData); err != nil {
		return nil, fmt.Errorf("stage container %s: %w", record.ID, err)
	}
	return st, nil
}

// stageItems writes items beside the containers; nil for none.
func (s *Store) stageItems(ctx context.Context, items []BigDatum) (*bigdata.Stage, error) {
	if len(items) == 0 {
		return nil, nil
	}
	pairs := make([]bigdata.Item, len(items))
	for i, it := range items {
		pairs[i] = bigdata.Item(it)
	}
	s.sweep.Do(s.sweepStages)
	return bigdata.StageItems(ctx, s.dir, pairs, bigdata.Options{NoSync: s.transient})
}

func newRecord(opts CreateOptions) (Record, error) {
	flags, err := newFlags(opts)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		ID:       opts.ID,
		Names:    objectid.Unique(opts.Names),
		Metadata: opts.Metadata,
		Created:  time.Now().UTC(),
		Flags:    flags,
	}
	if r.ID == "" {
		r.ID = NewID()
	}
	if err := r.ID.Validate(); err != nil {
		return Record{}, err
	}
	if err := errors.Join(objectid.ValidateNames("container", r.Names), objectid.ValidateText("metadata", r.Metadata)); err != nil {
		return Record{}, err
	}
	for _, it := range opts.BigData {
		if _, taken := r.BigDataSizes[it.Key]; taken {
			return Record{}, fmt.Errorf("container %s has data item %q twice: %w", r.ID, it.Key, errdefs.ErrInvalid)
		}
		r.note(it)
	}
	return r, nil
}

// newFlags is what engines expect in every record: both labels, even when empty,
// and Volatile and MountOpts only when they say something.
func newFlags(opts CreateOptions) (map[string]json.RawMessage, error) {
	set := map[string]any{flagMountLabel: opts.MountLabel, flagProcessLabel: opts.ProcessLabel}
	if opts.Volatile {
		set[flagVolatile] = true
	}
	if opts.MountOpts != nil {
		set[flagMountOpts] = opts.MountOpts
	}
	flags := make(map[string]json.RawMessage, len(set)+len(opts.Flags))
	for name, raw := range opts.Flags {
		if !json.Valid(raw) {
			return nil, fmt.Errorf("container flag %s is not JSON: %w", name, errdefs.ErrInvalid)
		}
		flags[name] = raw
	}
	for name, v := range set {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("container flag %s: %w", name, err)
		}
		flags[name] = raw
	}
	return flags, nil
}

// note records one data item: key, length and digest.
func (r *Record) note(it BigDatum) {
	r.Inventory = bigdata.With(r.Inventory, it.Key, int64(len(it.Data)), digest.FromBytes(it.Data))
}
