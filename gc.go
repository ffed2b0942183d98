package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/lease"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/internal/tempdir"
)

// GCOptions belong to GC.
type GCOptions struct {
	// DryRun lists what would be removed and removes nothing; it takes only shared
	// locks.
	DryRun bool
	// OlderThan leaves alone what was changed within that time; 0 leaves nothing.
	OlderThan time.Duration
}

// GCReport is what GC did.
type GCReport struct {
	// Removed are gone; with DryRun they would be.
	Removed []Orphan
	// Failed could not be removed.
	Failed []GCFailure
	// Bytes are those of Removed.
	Bytes int64
}

// GCFailure is an orphan that stays.
type GCFailure struct {
	Orphan
	Err error
}

// GC removes what no record accounts for: content, tar-splits, short links, data
// directories, temporary files and directories of all three kinds (on-disk format,
// 2.9, 3.7); and, beyond those rules, layers that programs registered by chain ID and
// that nothing holds any more, with no record and no live process to speak for them,
// and layers that a process made for an image (Draft) and died before that was
// recorded, or failed, with nothing else that refers to them; and what killed processes
// were copying into layers (Borrow). All other recorded objects and the engines' own files are
// never touched, nothing is unmounted but what such processes borrowed, and what is mounted
// stays. It goes on after a failure and reports it.
//
// All locks are held while things are renamed away, not while their bytes are
// deleted. While any record file is damaged nothing is known to be an orphan: then
// the error is an errdefs.ErrCorrupt and nothing was done. A cancelled call leaves
// some orphans removed.
func (s *Store) GC(ctx context.Context, opts GCOptions) (*GCReport, error) {
	if !opts.DryRun {
		if err := s.finish(ctx); err != nil {
			return nil, err
		}
	}
	found, err := s.findOrphans(ctx, opts)
	if err != nil {
		return nil, err
	}
	drafts, err := s.collectDrafts(ctx, opts)
	if err != nil {
		return nil, err
	}
	s.measureOrphans(ctx, found)
	report := &GCReport{Removed: found}
	if !opts.DryRun && len(found) > 0 {
		c := &collector{store: s, mounts: mountPoints}
		if report.Removed, report.Failed, err = c.collect(ctx, opts, found); err != nil {
			return nil, err
		}
	}
	unheld, err := s.collectUnheld(ctx, opts)
	if err != nil {
		return nil, err
	}
	report.Removed = slices.Concat(drafts, report.Removed, unheld)
	for _, o := range report.Removed {
		report.Bytes += o.Bytes
	}
	return report, nil
}

// findOrphans lists under shared locks what is old enough.
func (s *Store) findOrphans(ctx context.Context, opts GCOptions) (found []Orphan, err error) {
	_, err = s.examine(ctx, func(e *exam) error {
		if !e.whole() {
			return corruptRecords("collect garbage", e)
		}
		found, err = s.oldOrphans(e, opts)
		return err
	})
	return found, err
}

// corruptRecords says why something can not be done with damaged records.
func corruptRecords(what string, e *exam) error {
	f := e.findings[max(0, slices.IndexFunc(e.findings, func(f Finding) bool { return f.Problem != ProblemMode }))]
	err := fmt.Errorf("%s: %s: %s: %w", what, f.Path, f.Reason, errdefs.ErrCorrupt)
	if f.Repair == RepairNone {
		return err
	}
	return errdefs.WithHint(err, "`strata check --repair` can "+f.Repair.String())
}

func (s *Store) oldOrphans(e *exam, opts GCOptions) (old []Orphan, err error) {
	found, err := s.orphans(e)
	if err != nil {
		return nil, err
	}
	leases, err := lease.Held(s.roots.leaseDir())
	if err != nil {
		return nil, err
	}
	for _, o := range found {
		if o.Kind == KindLayer && len(leases[o.ID]) > 0 {
			continue
		}
		if opts.OlderThan <= 0 || time.Since(o.changed) >= opts.OlderThan {
			old = append(old, o)
		}
	}
	return old, nil
}

// collector removes orphans.
type collector struct {
	store  *Store
	mounts func() ([]string, error)
	// keep, when not nil, moves an orphan somewhere else before it would be deleted.
	keep func(Orphan) error

	mounted []string
	bins    map[string]*tempdir.Dir // by temp root
	removes map[int][]func() error  // by index into the orphans: for when no lock is held
}

func mountPoints() ([]string, error) {
	infos, err := mountapi.Table(nil)
	var points []string
	for _, m := range infos {
		points = append(points, m.Mountpoint)
	}
	return points, err
}

// collect takes the orphans away that still are such under the exclusive locks, and
// deletes their bytes afterwards.
func (c *collector) collect(ctx context.Context, opts GCOptions, found []Orphan) (removed []Orphan, failed []GCFailure, err error) {
	c.bins, c.removes = map[string]*tempdir.Dir{}, map[int][]func() error{}
	if c.mounted, err = c.mounts(); err != nil {
		return nil, nil, fmt.Errorf("list mounts: %w", err)
	}
	results, err := c.takeAway(ctx, opts, found)
	binErr := c.emptyBins()
	if err != nil {
		return nil, nil, errors.Join(err, c.removeTaken(), binErr)
	}
	for i, o := range found {
		err, tried := results[i]
		for _, remove := range c.removes[i] {
			err = errors.Join(err, remove())
		}
		switch {
		case !tried: // no orphan any more
		case err == nil && o.sort == orphanBeside && binErr != nil:
			failed = append(failed, GCFailure{o, binErr})
		case err != nil:
			failed = append(failed, GCFailure{o, err})
		default:
			removed = append(removed, o)
		}
	}
	return removed, failed, nil
}

// removeTaken deletes what was taken away before something went wrong.
func (c *collector) removeTaken() error {
	var errs []error
	for _, removes := range c.removes {
		for _, remove := range removes {
			errs = append(errs, remove())
		}
	}
	return errors.Join(errs...)
}

// takeAway does what needs the locks. The result has an entry for each orphan that
// it dealt with.
func (c *collector) takeAway(ctx context.Context, opts GCOptions, found []Orphan) (results map[int]error, err error) {
	t, err := c.store.begin(ctx, everything)
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	still, err := c.stillOrphans(t, opts)
	if err != nil {
		return nil, err
	}
	results = map[int]error{}
	for i, o := range found {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch _, err := os.Lstat(o.Path); {
		case still[o.Path]:
			results[i] = c.take(ctx, i, o)
		case errors.Is(err, fs.ErrNotExist):
			results[i] = nil // opening the store's records swept it
		}
	}
	return results, nil
}

// stillOrphans looks again: much may have happened since the first look.
func (c *collector) stillOrphans(t *tx, opts GCOptions) (map[string]bool, error) {
	e := &exam{layers: true, images: true, containers: true}
	var err error
	if e.snap.Layers, err = t.layers.Layers(); err != nil {
		return nil, err
	}
	if e.snap.Images, err = t.images.Images(); err != nil {
		return nil, err
	}
	if e.snap.Containers, err = t.containers.Containers(); err != nil {
		return nil, err
	}
	found, err := c.store.oldOrphans(e, opts)
	still := map[string]bool{}
	for _, o := range found {
		still[o.Path] = true
	}
	return still, err
}

// take moves one orphan out of the store.
func (c *collector) take(ctx context.Context, i int, o Orphan) error {
	if point := c.mountBelow(o.Path); point != "" {
		return fmt.Errorf("%s is mounted: %w", point, errdefs.ErrInUse)
	}
	if err := faults.Hit("strata.gc.take", o.Path); err != nil {
		return err
	}
	if o.sort == orphanCopy {
		c.later(i, func() error { return c.store.collectCopy(ctx, o.Path) })
		return nil
	}
	if c.keep != nil {
		if err := c.keep(o); err != nil {
			return err
		}
	}
	switch o.sort {
	case orphanFile:
		return ignoreMissing(os.Remove(o.Path))
	case orphanLayer:
		return c.takeLayer(ctx, i, o)
	case orphanBeside:
		return c.takeBeside(o.Path)
	case orphanObject:
		remove, err := bigdata.Trash(o.Path)
		c.later(i, remove)
		return err
	case orphanTemp:
		c.later(i, func() error { return removePair(ctx, o.Path) })
	case orphanStage:
		c.later(i, func() error { return bigdata.SweepStages(filepath.Dir(o.Path)) })
	case orphanTree:
		return tempdir.RemoveTree(o.Path)
	}
	return nil
}

func (c *collector) later(i int, remove func() error) {
	if remove != nil {
		c.removes[i] = append(c.removes[i], remove)
	}
}

func (c *collector) takeLayer(ctx context.Context, i int, o Orphan) error {
	driver := c.store.driver.get()
	trasher, ok := driver.(graphdriver.Trasher)
	if !ok {
		return driver.Remove(ctx, graphdriver.ID(o.ID))
	}
	remove, err := trasher.Trash(ctx, graphdriver.ID(o.ID))
	c.later(i, remove)
	return err
}

// takeBeside renames into a temp directory beside; on a full disk it deletes at once.
func (c *collector) takeBeside(path string) error {
	root := filepath.Join(filepath.Dir(path), "tmp")
	bin := c.bins[root]
	if bin == nil {
		var err error
		if bin, err = tempdir.New(root); err != nil {
			return tempdir.RemoveTree(path)
		}
		c.bins[root] = bin
	}
	_, err := bin.Trash(path)
	if reserve.Full(err) {
		return tempdir.RemoveTree(path)
	}
	return ignoreMissing(err)
}

func (c *collector) emptyBins() error {
	var errs []error
	for _, bin := range c.bins {
		errs = append(errs, bin.Close())
	}
	return errors.Join(errs...)
}

// removePair removes the pairs of a temp root whose users died, and with them path.
func removePair(ctx context.Context, path string) error {
	if err := faults.Hit("strata.gc.remove", path); err != nil {
		return err
	}
	err := tempdir.Recover(ctx, filepath.Dir(path))
	if _, statErr := os.Lstat(path); errors.Is(statErr, fs.ErrNotExist) {
		return nil
	}
	return err
}

// mountBelow returns a mount point at or below path, or "".
func (c *collector) mountBelow(path string) string {
	path = resolved(path)
	for _, point := range c.mounted {
		if point == path || strings.HasPrefix(point, path+"/") {
			return point
		}
	}
	return ""
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
