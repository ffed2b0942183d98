package strata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/layer"
)

// RepairOptions belong to Repair.
type RepairOptions struct {
	// Remove also takes away what nothing else cures: damaged images, damaged layers
	// with the images on them, layers that nothing needs. Without it they are left.
	Remove bool
	// Containers also removes damaged containers, and those that stand on what has to
	// be removed, with Remove.
	Containers bool
	// Discard deletes what is removed instead of moving it to the trash folder.
	Discard bool
}

// RepairReport is what Repair did.
type RepairReport struct {
	// Cured findings are gone, or were gone by the time it was their turn.
	Cured []Finding
	// Left are those that stay, with the reason.
	Left []RepairFailure
	// Removed are the objects that went to cure the findings, in that order: damaged
	// ones, what stood on them, and the layers that nothing else needed. Leftovers that
	// no record spoke of are not among them.
	Removed []Object
	// Trash is the folder that holds what was removed, "" if nothing was.
	Trash string
}

// RepairFailure is a finding that was not cured.
type RepairFailure struct {
	Finding
	Err error
}

// Repair cures the findings of a check, one object at a time, and goes on after a
// failure. What is sound stays; what can be derived from the records is written
// again; what has to be removed goes to a dated folder below "strata/trash" of the
// graph root. Objects of additional stores are never touched. Removing an image
// also removes the layers that only it needs. A cancelled call leaves the findings
// that were not reached.
func (s *Store) Repair(ctx context.Context, report *CheckReport, opts RepairOptions) (*RepairReport, error) {
	r := &repairer{
		store: s, opts: opts, report: report, trash: s.newTrash(time.Now()),
		done: map[objectKey]error{}, rebuilt: map[layer.ID]error{},
	}
	out := &RepairReport{}
	if err := r.all(ctx, report.Findings, out); err != nil {
		return nil, err
	}
	if len(out.Cured) > 0 {
		if err := r.follow(ctx, out); err != nil {
			return nil, err
		}
	}
	if r.trash.used() {
		out.Trash = r.trash.dir
	}
	out.Removed = r.removed
	return out, nil
}

// all cures findings one after the other.
func (r *repairer) all(ctx context.Context, findings []Finding, out *RepairReport) error {
	for _, f := range r.ordered(findings) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.cure(ctx, f); err != nil {
			out.Left = append(out.Left, RepairFailure{f, err})
		} else {
			out.Cured = append(out.Cured, f)
		}
	}
	return nil
}

// repairer is one run.
type repairer struct {
	store  *Store
	opts   RepairOptions
	report *CheckReport
	trash  *trashBin
	// done are the objects that were removed, or could not be.
	done map[objectKey]error
	// removed are those that were.
	removed []Object
	// cleared: notes of the driver that were wrong have been taken away.
	cleared bool
	// rebuilt are the layers that were unpacked again, or could not be.
	rebuilt map[layer.ID]error
}

// ordered puts what users need first: containers, then images, then layers from the
// top of their stacks down; leftovers come last, since removing makes some.
func (r *repairer) ordered(in []Finding) []Finding {
	rank := func(f Finding) int {
		switch {
		case f.Repair == RepairLock, f.Repair == RepairMode:
			return -7 // nothing else can be done before
		case f.Problem == ProblemRecordsDamaged:
			return -6 // what they say tells what others lack
		case f.Problem == ProblemRecordsLost:
			return int(f.Kind-KindLayer) - 5 // the ones below first
		case f.Problem == ProblemClash && f.Name == "":
			return -2 // what the records say depends on it
		case f.Repair == RepairRecord && (f.Kind != KindContainer || f.Problem == ProblemClash):
			return -1 // more may be well then
		case f.Repair == RepairCollect:
			return 3
		case f.Kind == KindContainer:
			return 0
		case f.Kind == KindImage:
			return 1
		}
		return 2
	}
	out := slices.Clone(in)
	slices.Reverse(out) // children mostly come after their parents
	slices.SortStableFunc(out, func(a, b Finding) int { return rank(a) - rank(b) })
	return out
}

func (r *repairer) cure(ctx context.Context, f Finding) error {
	if f.ReadOnly {
		return fmt.Errorf("%s %s is in a store that is only read: %w", f.Kind, f.ID, errdefs.ErrReadOnly)
	}
	if err := faults.Hit("strata.repair", r.store.roots.graph); err != nil {
		return err
	}
	switch f.Repair {
	case RepairOpen:
		_, err := r.store.Layers(ctx)
		return err
	case RepairRestoreRecords:
		return r.restore(ctx, f)
	case RepairRelink:
		return r.relink(ctx, layer.ID(f.ID))
	case RepairRebuild:
		return r.rebuild(ctx, layer.ID(f.ID))
	case RepairLock:
		return r.relock(f)
	case RepairPutAway:
		return r.putAwayFolder(f)
	case RepairMode:
		return r.setMode(f)
	case RepairRecount:
		return r.store.layers.Recount(ctx, func(path string) error { return r.putAway("mounts", path) })
	case RepairCount:
		return r.resetCount(ctx, layer.ID(f.ID))
	case RepairRecord:
		return r.mend(ctx, f)
	case RepairCollect:
		return r.collect(ctx, f)
	case RepairReload, RepairRemoveLayer, RepairRemoveImage, RepairRemoveContainer:
		return r.remove(ctx, f)
	}
	return fmt.Errorf("%s: no repair is known: %w", f, errdefs.ErrUnsupported)
}

// resetCount takes a count back that the kernel knows nothing of. The driver unmounts
// nothing, since nothing is mounted.
func (r *repairer) resetCount(ctx context.Context, id layer.ID) error {
	if state := r.store.mountState(); state != nil {
		if _, mounted, err := state.Mounted(ctx, graphdriver.ID(id)); err != nil || mounted {
			return err
		}
	}
	_, err := r.store.layers.Unmount(ctx, id, layer.UnmountOptions{Force: true})
	return ignoreGone(err)
}

// recordItem notes length and digest of a container's data item as it is.
func (r *repairer) recordItem(ctx context.Context, f Finding) error {
	data, err := r.store.BigData(ctx, f.Kind, f.ID, f.Item)
	if err == nil {
		err = r.store.SetBigData(ctx, f.Kind, f.ID, f.Item, data)
	}
	return ignoreGone(err)
}

// collect removes one leftover.
func (r *repairer) collect(ctx context.Context, f Finding) error {
	if f.Kind == KindLayer && f.Path == "" {
		return r.collectStray(ctx, layer.ID(f.ID))
	}
	found, err := r.store.findOrphans(ctx, GCOptions{})
	if err != nil {
		return err
	}
	for _, o := range found {
		if o.Path != f.Path {
			continue
		}
		c := &collector{store: r.store, mounts: mountPoints}
		if !r.opts.Discard {
			c.keep = r.keepOrphan
		}
		_, failed, err := c.collect(ctx, GCOptions{}, []Orphan{o})
		if err == nil && len(failed) > 0 {
			err = failed[0].Err
		}
		return err
	}
	return nil // gone already
}

// collectStray removes a layer that was made for an image that never came to be, if it
// still is such.
func (r *repairer) collectStray(ctx context.Context, id layer.ID) error {
	_, err := r.store.removeStrays(ctx, 0, func(l layer.Layer) (bool, error) {
		if l.ID != id {
			return false, nil
		}
		object := "layer-" + string(id)
		return true, errors.Join(r.note(object, l.Record), r.keepLayer(object, id))
	})
	return err
}

// keepOrphan moves a leftover to the trash; what is in the run root would not outlive
// a reboot anyway.
func (r *repairer) keepOrphan(o Orphan) error {
	if strings.HasPrefix(o.Path, r.store.roots.run+"/") {
		return nil
	}
	return r.trash.keep(filepath.Join("leftovers", filepath.Base(filepath.Dir(o.Path))), o.Path)
}
