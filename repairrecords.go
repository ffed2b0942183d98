package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/lockfile"
)

// restore gives a file its records back.
func (r *repairer) restore(ctx context.Context, f Finding) error {
	do := r.restoreRecords
	if f.Problem == ProblemRecordsLost {
		do = r.restoreLost
	}
	if err := do(ctx, f); err != nil || f.Kind != KindLayer {
		return err
	}
	return r.measure(ctx)
}

// measure records the length of each layer's tar that no copy of the records knew. A tar that is not
// what its digest says stays without: whoever verifies the layer tells why.
func (r *repairer) measure(ctx context.Context) error {
	all, err := r.store.Layers(ctx)
	for i := range all {
		l := &all[i]
		if l.ReadOnly || l.DiffID == "" || l.DiffSize != 0 {
			continue
		}
		tar, err := r.store.layers.Diff(ctx, l.ID, "", layer.DiffOptions{Packing: layer.PackedAs(archive.None)})
		if err != nil {
			continue
		}
		size, err := io.Copy(io.Discard, tar)
		if err = errors.Join(err, tar.Close()); err != nil || size == 0 {
			continue
		}
		if err := r.change(ctx, func(t *tx) error { return t.writeLayers.SetDiffSize(l.ID, size) }); err != nil {
			return err
		}
	}
	return errors.Join(err, ctx.Err())
}

// restoreRecords writes a record file anew that can not be read, which is kept: with the records
// in it before the damage, those of the last good copy, and those that follow from files and
// other records. What was recorded since the copy may be lost, so this has to be asked for. The
// lock's token tells the other processes (on-disk format, 3.5).
func (r *repairer) restoreRecords(ctx context.Context, f Finding) (err error) {
	if !r.opts.Remove {
		return errNotAsked
	}
	e, err := r.store.examine(ctx, nil) // before the lock, which it takes, too
	if err != nil {
		return err
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
	if !noFile && len(damaged) > 0 && recordfile.IsList(damaged) {
		return nil // somebody did it already
	}
	texts, err := r.store.recoverable(ctx, e, f, damaged)
	if err != nil {
		return err
	}
	if len(texts) == 0 && f.backup == "" {
		return fmt.Errorf("nothing is known of what was in %s: %w", f.Path, errdefs.ErrUnsupported)
	}
	data, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	if err := r.keepDamaged(f, damaged, noFile); err != nil {
		return err
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

// keepDamaged keeps what was in a record file, or in its place.
func (r *repairer) keepDamaged(f Finding, damaged []byte, noFile bool) error {
	if noFile {
		return r.putAway("records-"+f.Kind.String(), f.Path)
	}
	if r.opts.Discard {
		return nil
	}
	return r.trash.note("records-"+f.Kind.String(), damaged)
}
