package layer

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/lockfile"
)

// mountRecord is one layer in mountpoints.json (on-disk format, 2.6): how often
// it is mounted by all processes together, and where.
type mountRecord struct {
	ID    ID     `json:"id"`
	Path  string `json:"path"`
	Count int    `json:"count"`
	// Borrowers are those who have mounted it for the time of a call. Another engine that
	// counts a mount drops them.
	Borrowers []string `json:"strata-borrowers,omitempty"`
}

var (
	errNoMount        = errdefs.New(errdefs.ErrNotFound, "no such mount record")
	errDuplicateMount = errdefs.New(errdefs.ErrExists, "mount record is there already")
)

// openMounts returns the store of mount counts below dir. It lives in the run
// root, so nothing in it needs to survive a reboot.
func openMounts(dir string, opts Options) *recordfile.Store[mountRecord] {
	schema := recordfile.Schema[mountRecord]{
		Kind: "mount", Unknown: errNoMount, DuplicateID: errDuplicateMount, DuplicateName: errDuplicateMount,
		ID: func(m *mountRecord) string { return string(m.ID) },
	}
	files := []recordfile.File{{Path: filepath.Join(dir, mountsName), NoSync: true}}
	lock := lockfile.New(filepath.Join(dir, mountsLock), lockfile.Options{Logger: opts.Logger})
	return recordfile.Open(schema, files, []*lockfile.Lock{lock}, recordfile.Options{Logger: opts.Logger})
}

// mountState returns the recorded mounts by layer. Entries without path or count
// mean nothing, as in the other engines. A damaged file is no reason to keep
// anybody from the layers: only mounting and unmounting fail.
func (s *Store) mountState(ctx context.Context) (_ map[ID]mountRecord, damage, err error) {
	tx, err := s.mounts.View(ctx)
	if errors.Is(err, errdefs.ErrCorrupt) {
		s.opts.Logger.WarnContext(ctx, "mount counts are unknown", "error", err)
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer closing(&err, tx)
	state := make(map[ID]mountRecord, tx.Len())
	for m, err := range tx.All() {
		if err != nil {
			return nil, nil, err
		}
		if m.Path != "" && m.Count > 0 {
			state[m.ID] = m
		}
	}
	return state, nil, nil
}

// setMount records one layer's mount state; a count of zero removes it. It does
// not save.
func setMount(tx *recordfile.WriteTx[mountRecord], m mountRecord) error {
	known := tx.Has(string(m.ID))
	switch {
	case m.Count <= 0 && !known:
		return nil
	case m.Count <= 0:
		return tx.Delete(string(m.ID))
	case !known:
		return tx.Insert(0, m)
	}
	return tx.Update(string(m.ID), func(r *mountRecord) error {
		r.Path, r.Count, r.Borrowers = m.Path, m.Count, m.Borrowers
		return nil
	})
}

// forgetMounts removes the entries of layers that are going away.
func (s *Store) forgetMounts(ctx context.Context, ids []ID) error {
	if err := faults.Hit("layer.mounts.forget", s.opts.RunDir); err != nil {
		return err
	}
	tx, err := s.beginMounts(ctx)
	if err != nil {
		return err
	}
	changed := false
	for _, id := range ids {
		if !tx.Has(string(id)) {
			continue
		}
		if err := tx.Delete(string(id)); err != nil {
			return errors.Join(err, tx.Close())
		}
		changed = true
	}
	if !changed {
		return tx.Close()
	}
	return tx.Commit(ctx)
}
