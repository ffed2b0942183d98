package image

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

// Stage is an image on its way in: its data items are on disk and durable, but no
// record speaks of them. It is not safe for concurrent use.
type Stage struct {
	record Record
	items  *bigdata.Stage // nil without items
	// moveNames takes the names from other images.
	moveNames bool
}

// Record returns what the image's record will be.
func (st *Stage) Record() Record { return st.record }

// Discard removes what was not adopted. Always safe to defer.
func (st *Stage) Discard() error { return st.items.Discard() }

// Stage checks opts and writes the data items aside, with no lock held. A
// cancelled or failed call leaves nothing. The caller adopts or discards the stage.
func (s *Store) Stage(ctx context.Context, opts CreateOptions) (*Stage, error) {
	record, err := newRecord(opts)
	if err != nil {
		return nil, err
	}
	st := &Stage{record: record, moveNames: opts.MoveNames}
	if st.items, err = s.stageItems(ctx, opts.BigData); err != nil {
		return nil, fmt.Errorf("stage image %s: %w", record.ID, err)
	}
	return st, nil
}

// stageItems writes items beside the images of the part that takes new ones; nil for none.
func (s *Store) stageItems(ctx context.Context, items []BigDatum) (*bigdata.Stage, error) {
	if len(items) == 0 {
		return nil, nil
	}
	pairs := make([]bigdata.Item, len(items))
	for i, it := range items {
		pairs[i] = bigdata.Item{Key: it.Key, Data: it.Data}
	}
	s.sweep.Do(s.sweepStages)
	return bigdata.StageItems(ctx, s.parts[0].dir, pairs, bigdata.Options{})
}

// sweepStages removes what killed processes left; failing at it stops nobody.
func (s *Store) sweepStages() {
	for _, p := range s.parts {
		if p.readOnly {
			continue
		}
		if err := bigdata.SweepStages(p.dir); err != nil {
			s.log.Warn("left-over staging directories stay", "error", err)
		}
	}
}

// newRecord is the complete record of a new image.
func newRecord(opts CreateOptions) (Record, error) {
	r := Record{
		ID:           opts.ID,
		Digest:       opts.Digest,
		Names:        objectid.Unique(opts.Names),
		NamesHistory: opts.NamesHistory,
		Metadata:     opts.Metadata,
		Created:      opts.Created.UTC(),
		Flags:        opts.Flags,
	}
	if r.ID == "" {
		r.ID = NewID()
	}
	if opts.Created.IsZero() {
		r.Created = time.Now().UTC()
	}
	if err := validate(r); err != nil {
		return Record{}, err
	}
	for _, it := range opts.BigData {
		if _, taken := r.BigDataSizes[it.Key]; taken {
			return Record{}, fmt.Errorf("image %s has data item %q twice: %w", r.ID, it.Key, errdefs.ErrInvalid)
		}
		if err := r.note(it); err != nil {
			return Record{}, err
		}
	}
	return r, nil
}

func validate(r Record) error {
	if err := r.ID.Validate(); err != nil {
		return err
	}
	if err := errors.Join(objectid.ValidateNames("image", r.Names), objectid.ValidateText("metadata", r.Metadata)); err != nil {
		return err
	}
	for name, raw := range r.Flags {
		if !json.Valid(raw) {
			return fmt.Errorf("image flag %s is not JSON: %w", name, errdefs.ErrInvalid)
		}
	}
	if r.Digest == "" {
		return nil
	}
	if err := r.Digest.Validate(); err != nil {
		return fmt.Errorf("validating digests for new image: %w", invalidDigest(r.Digest, err))
	}
	return nil
}

func invalidDigest(d digest.Digest, err error) error {
	return &digestError{text: fmt.Sprintf("validating image digest %q: %v", string(d), err)}
}

// digestError prints as the other engines' and is an errdefs.ErrInvalid.
type digestError struct{ text string }

func (e *digestError) Error() string { return e.text }
func (e *digestError) Unwrap() error { return errdefs.ErrInvalid }

// Hint tells how digests look.
func (e *digestError) Hint() string { return "digests look like sha256: and 64 hexadecimal digits" }

// note records one data item: key, length and digest. The first manifest item
// gives an image without a digest its own.
func (r *Record) note(it BigDatum) error {
	d, err := it.digest()
	if err != nil {
		return err
	}
	r.Inventory = bigdata.With(r.Inventory, it.Key, int64(len(it.Data)), d)
	if digests := r.Digests(); r.Digest == "" && len(digests) > 0 {
		r.Digest = digests[0]
	}
	return nil
}
