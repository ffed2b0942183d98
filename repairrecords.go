package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/lockfile"
)

// restoreRecords puts the last good copy of a record file in the place of the damaged
// one, which is kept. What was recorded since is not known any more, so this has to be
// asked for. The lock's token tells the other processes (on-disk format, 3.5).
func (r *repairer) restoreRecords(ctx context.Context, f Finding) (err error) {
	if !r.opts.Remove {
		return errNotAsked
	}
	lock := lockfile.New(filepath.Join(filepath.Dir(f.Path), f.Kind.String()+"s.lock"), lockfile.Options{Logger: r.store.log})
	held, err := lock.Exclusive(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Unlock()) }()
	damaged, err := atomicfile.Read(f.Path)
	noFile := errors.Is(err, errdefs.ErrCorrupt) || errors.Is(err, errdefs.ErrLimit)
	if err != nil && !noFile {
		return err
	}
	if !noFile && isRecords(damaged) {
		return nil // somebody did it already
	}
	data, err := atomicfile.Read(f.backup)
	if err != nil {
		return err
	}
	if !isRecords(data) {
		return fmt.Errorf("%s is damaged, too: %w", f.backup, errdefs.ErrCorrupt)
	}
	if noFile {
		if err := r.putAway("records-"+f.Kind.String(), f.Path); err != nil {
			return err
		}
	} else if !r.opts.Discard {
		if err := r.trash.note("records-"+f.Kind.String(), damaged); err != nil {
			return err
		}
	}
	if err := faults.Hit("strata.restore.write", f.Path); err != nil {
		return err
	}
	if _, err := atomicfile.Write(f.Path, data, atomicfile.Options{Mode: 0o600}); err != nil {
		return err
	}
	if err := faults.Hit("strata.restore.token", f.Path); err != nil {
		return err
	}
	_, err = held.Touch()
	return err
}

// isRecords reports whether data is a list of records, as far as syntax goes.
func isRecords(data []byte) bool {
	var list []struct {
		ID string `json:"id"`
	}
	return json.Unmarshal(data, &list) == nil
}
