package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/tempdir"
)

// Reowns reports whether the driver can give a new layer copies of its parent's files
// with other owners, as StageCopy needs and Stage and WriteTx.Create for a Mapping that
// is not the parent's.
func (s *Store) Reowns() bool {
	c, ok := s.driver().(graphdriver.Capable)
	return ok && c.Capabilities().Reowns
}

// creation adds to the driver's options what follows from the parent (nil for none):
// with another mapping than its own the new layer needs copies of its files.
func (s *Store) creation(parent *Layer, o graphdriver.CreateOptions) (graphdriver.CreateOptions, error) {
	if parent == nil {
		return o, nil
	}
	from := parent.Mapping()
	if from.Equal(o.Mapping) {
		return o, nil
	}
	if !s.Reowns() {
		return o, fmt.Errorf("layer on %s with other owners: driver %s makes no such copies: %w",
			parent.ID, s.driver().Name(), errdefs.ErrUnsupported)
	}
	o.Reown = &from
	return o, nil
}

// StageCopy stages a layer with the content of another and the owners of a mapping that
// is not its own: an alternative to it for containers with that mapping (on-disk
// format, 4.6). Adopt makes it a layer beside the original: on the same parent, with the
// same digests, sizes and exact tar. Like Stage it holds no lock.
//
// ErrUnknown, ErrIncomplete; ErrVanished for an original that is deleted meanwhile; errdefs.ErrInvalid for the original's own mapping;
// errdefs.ErrUnsupported if the driver makes no copies. A cancelled or failed call leaves
// nothing. The caller adopts or discards the stage.
func (s *Store) StageCopy(ctx context.Context, original ID, m idmap.Mapping) (*Stage, error) {
	l, err := s.stageParent(ctx, original)
	if err != nil {
		return nil, err
	}
	if l == nil || l.Mapping().Equal(m) {
		return nil, fmt.Errorf("copy layer %q with the owners that it has: %w", original, errdefs.ErrInvalid)
	}
	s.sweep(ctx)
	dir, err := tempdir.New(s.tempRoot())
	if err != nil {
		return nil, err
	}
	opts := StageOptions{Parent: original, Mapping: m, MountLabel: l.MountLabel, Image: true}
	st := &Stage{store: s, opts: opts, parent: l, dir: dir, copied: true}
	if err := st.fillCopy(ctx); err != nil {
		return nil, errors.Join(st.explain(ctx, fmt.Errorf("copy layer %s: %w", original, err)), st.Discard())
	}
	return st, nil
}

func (st *Stage) fillCopy(ctx context.Context) (err error) {
	if st.content, err = st.newContent(ctx); err != nil {
		return err
	}
	in, err := st.store.splitFileOf(*st.parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close() // only read
	st.split, err = copySplit(st.dir.Addition(), &ctxReader{ctx, in})
	return err
}

// splitFileOf opens the tar-split of l as it lies on disk.
func (s *Store) splitFileOf(l Layer) (*os.File, error) {
	for _, dir := range s.dirsOf(l) {
		path, err := splitPath(dir, l.ID)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if !isMissing(err) {
			return f, err
		}
	}
	return nil, fs.ErrNotExist
}

// copySplit takes over a tar-split as it is.
func copySplit(path string, in io.Reader) (*splitFile, error) {
	if err := faults.Hit("layer.split.copy", path); err != nil {
		return nil, fmt.Errorf("copy tar-split: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("copy tar-split: %w", err)
	}
	if _, err := io.Copy(f, in); err != nil {
		return nil, errors.Join(fmt.Errorf("copy tar-split: %w", err), f.Close())
	}
	return &splitFile{file: f}, nil
}

// below is what the adopted layer's record has as parent: that of the original for a copy,
// although its files stand on the original.
func (st *Stage) below() ID {
	if st.copied {
		return st.parent.Parent
	}
	return st.opts.Parent
}

// describe notes in the record what is known about the staged content.
func (st *Stage) describe(r *Record) {
	if !st.copied {
		r.setIngested(st.in)
		return
	}
	r.copyContent(&st.parent.Record)
}

// copyContent takes over what another record says about the same content.
func (r *Record) copyContent(o *Record) {
	r.BlobDigest, r.BlobSize, r.DiffID, r.DiffSize = o.BlobDigest, o.BlobSize, o.DiffID, o.DiffSize
	r.TOCDigest, r.Compression = o.TOCDigest, o.Compression
	r.UIDs, r.GIDs = slices.Clone(o.UIDs), slices.Clone(o.GIDs)
	if r.Metadata == "" {
		r.Metadata = o.Metadata
	}
	if expected, ok := o.Flags[FlagExpectedDiffID]; ok && r.Flags == nil {
		r.Flags = map[string]json.RawMessage{FlagExpectedDiffID: expected}
	}
}
