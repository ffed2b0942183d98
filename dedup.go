package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/dedupe"
)

// DedupMethod is how Dedup finds files that may be equal. The result is the same with
// each, since the kernel compares them byte by byte.
type DedupMethod int

// The methods.
const (
	// DedupCRC compares check sums of files of the same size; the default.
	DedupCRC DedupMethod = iota
	// DedupSHA256 compares digests.
	DedupSHA256
	// DedupSize reads only the first block of files of the same size.
	DedupSize
)

// DedupOptions belong to Dedup.
type DedupOptions struct {
	Method DedupMethod
	// Workers read side by side; 0 means as many as there are processors.
	Workers int
	// Progress, when not nil, is told how far it is, after every file that may be equal to
	// another one. It is called by one goroutine at a time.
	Progress func(DedupProgress)
}

// DedupProgress is how far Dedup has come.
type DedupProgress struct {
	// Bytes of Total were looked at: those of files that have the size of another one.
	Bytes, Total int64
}

// DedupReport is what Dedup did.
type DedupReport struct {
	// Layers were looked at, and Files in them; additional stores are left alone.
	Layers, Files int
	// Shared are the files that share their data with another one, Bytes theirs: what
	// is saved. New are those bytes that were not shared before.
	Shared     int
	Bytes, New int64
}

// Dedup makes equal files of all layers share their data on the disk, where the file
// system can (xfs with reflinks, btrfs). The kernel compares and shares; content and
// attributes stay as they are, and programs may use the layers meanwhile. No lock is
// held. An errdefs.ErrUnsupported where the file system can not, or where the driver
// keeps layers elsewhere than in directories. A cancelled call leaves some files shared.
func (s *Store) Dedup(ctx context.Context, opts DedupOptions) (*DedupReport, error) {
	if !s.knownDriver() {
		return nil, fmt.Errorf("dedup: driver %s does not keep layers as directories: %w", s.driver.name, errdefs.ErrUnsupported)
	}
	e, err := s.examine(ctx, nil)
	if err != nil {
		return nil, err
	}
	if !e.layers {
		return nil, corruptRecords("dedup", e)
	}
	dirs, err := s.ownTrees(e)
	if err != nil {
		return nil, fmt.Errorf("dedup: %w", err)
	}
	search := dedupe.Options{Method: dedupe.Method(opts.Method), Workers: opts.Workers}
	if opts.Progress != nil {
		search.Progress = func(p dedupe.Progress) { opts.Progress(DedupProgress(p)) }
	}
	r, err := dedupe.Trees(ctx, dirs, search)
	report := &DedupReport{Layers: len(dirs), Files: r.Files, Shared: r.Shared, Bytes: r.Bytes, New: r.New}
	switch {
	case errors.Is(err, dedupe.ErrUnsupported):
		return nil, errdefs.WithHint(fmt.Errorf("dedup %s: %w", s.roots.graph, dedupe.ErrUnsupported),
			"xfs (made with reflink=1, the default) and btrfs can; put the graph root there")
	case err != nil:
		return nil, fmt.Errorf("dedup: %w", err)
	}
	return report, nil
}

// ownTrees are the directories with the files of layers that are written here.
func (s *Store) ownTrees(e *exam) (dirs []string, err error) {
	of := e.layerIndex()
	for i := range e.snap.Layers {
		l := &e.snap.Layers[i]
		if of[l.ID] != l || l.Incomplete() {
			continue
		}
		p, err := s.place(l.ID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // check tells of it
		case err != nil:
			return nil, err
		case !p.home.readOnly && !p.composefs():
			dirs = append(dirs, p.diff)
		}
	}
	return dirs, nil
}
