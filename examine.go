package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/lockfile"
)

// exam is a store as it was at one moment, as far as its records can be read.
type exam struct {
	snap Snapshot
	// Which kinds could be read.
	layers, images, containers bool
	// findings are about those that could not.
	findings []Finding
	// lost are what files and other records speak of, and no record of its own does.
	lost map[objectKey]bool
	// clashes are the IDs and names that several records have.
	clashes []recordClash
	// tx holds the records while also is called.
	tx *tx
}

// whole reports whether all records could be read, and none are known to be lost.
func (e *exam) whole() bool { return e.layers && e.images && e.containers && len(e.lost) == 0 }

// examine reads all records under the shared locks, changing nothing, and calls
// also, which may be nil, before it gives the locks back: no other process creates
// or deletes meanwhile, so also has to be short.
func (s *Store) examine(ctx context.Context, also func(*exam) error) (e *exam, err error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	t := &tx{store: s}
	e = &exam{tx: t, findings: append(s.brokenLocks(), s.wrongModes()...)}
	defer t.end(&err)
	if t.layers, err = s.layers.Look(ctx); err == nil {
		e.addMountsDamage(t.layers.MountsDamage())
		e.snap.Layers, err = t.layers.Layers()
		e.addClashes(KindLayer, t.layers.Clashes())
	}
	if e.layers, err = e.readable(KindLayer, err); err != nil {
		return nil, err
	}
	if t.images, err = s.images.Look(ctx); err == nil {
		e.snap.Images, err = t.images.Images()
		e.addClashes(KindImage, t.images.Clashes())
	}
	if e.images, err = e.readable(KindImage, err); err != nil {
		return nil, err
	}
	if t.containers, err = s.containers.Look(ctx); err == nil {
		e.snap.Containers, err = t.containers.Containers()
		e.addClashes(KindContainer, t.containers.Clashes())
	}
	if e.containers, err = e.readable(KindContainer, err); err != nil {
		return nil, err
	}
	if err := s.lostRecords(e); err != nil {
		return nil, err
	}
	s.addRecoverable(ctx, e)
	if also == nil {
		return e, nil
	}
	return e, also(e)
}

// readable turns damaged records into a finding; other errors stay.
func (e *exam) readable(kind Kind, err error) (bool, error) {
	if errors.Is(err, fs.ErrPermission) && slices.ContainsFunc(e.findings, func(f Finding) bool { return f.Problem == ProblemMode }) {
		return false, nil // that is why
	}
	if err == nil || !errors.Is(err, errdefs.ErrCorrupt) {
		return err == nil, err
	}
	if broken := (*lockfile.NotAFileError)(nil); errors.As(err, &broken) {
		e.addLock(kind, broken)
		return false, nil
	}
	f := Finding{Kind: kind, Problem: ProblemRecordsDamaged, Reason: err.Error(), Path: kind.String() + " records"}
	var corrupt *recordfile.CorruptError
	if errors.As(err, &corrupt) {
		f.Path = corrupt.Path
		f.Reason = fmt.Sprintf("damaged at byte %d: %s", corrupt.Offset, corrupt.Reason)
		if corrupt.Backup != "" {
			f.Repair, f.backup = RepairRestoreRecords, corrupt.Backup
		}
	}
	e.findings = append(e.findings, f)
	return false, nil
}

// addRecoverable gives record files a cure that are damaged or have lost records, and of which
// there is no good copy, if some of their records can be had without.
func (s *Store) addRecoverable(ctx context.Context, e *exam) {
	for i, f := range e.findings {
		if f.Problem != ProblemRecordsDamaged && f.Problem != ProblemRecordsLost || f.Repair != RepairNone || f.ReadOnly {
			continue
		}
		damaged, err := atomicfile.Read(f.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if texts, err := s.recoverable(ctx, e, f, damaged); err == nil && len(texts) > 0 {
			e.findings[i].Repair = RepairRestoreRecords
		}
	}
}

// addMountsDamage makes the finding about mount counts that can not be read.
func (e *exam) addMountsDamage(err error) {
	var corrupt *recordfile.CorruptError
	if !errors.As(err, &corrupt) {
		return // they can be, or their lock file is broken, which has its finding
	}
	f := Finding{
		Kind: KindLayer, Problem: ProblemMountsDamaged, Path: corrupt.Path, Repair: RepairRecount,
		Reason: fmt.Sprintf("the mount counts are damaged at byte %d: %s", corrupt.Offset, corrupt.Reason),
	}
	if info, err := os.Lstat(corrupt.Path); err == nil {
		f.Bytes = info.Size()
	}
	e.findings = append(e.findings, f)
}

// layerIndex finds the snapshot's layers by ID; of several stores' the first counts.
func (e *exam) layerIndex() map[layer.ID]*layer.Layer {
	of := make(map[layer.ID]*layer.Layer, len(e.snap.Layers))
	for i := range e.snap.Layers {
		if l := &e.snap.Layers[i]; of[l.ID] == nil {
			of[l.ID] = l
		}
	}
	return of
}

func (e *exam) imageIndex() map[image.ID]*image.Image {
	of := make(map[image.ID]*image.Image, len(e.snap.Images))
	for i := range e.snap.Images {
		if img := &e.snap.Images[i]; of[img.ID] == nil {
			of[img.ID] = img
		}
	}
	return of
}

func (e *exam) containerIndex() map[container.ID]*container.Container {
	of := make(map[container.ID]*container.Container, len(e.snap.Containers))
	for i := range e.snap.Containers {
		of[e.snap.Containers[i].ID] = &e.snap.Containers[i]
	}
	return of
}

// stack returns the IDs of a layer and all below it that have records, top first.
func stackOf(top layer.ID, of map[layer.ID]*layer.Layer) (ids []layer.ID) {
	seen := map[layer.ID]bool{}
	for id := top; id != "" && !seen[id] && of[id] != nil; id = of[id].Parent {
		seen[id] = true
		ids = append(ids, id)
	}
	return ids
}
