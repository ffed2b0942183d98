package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/internal/tempdir"
)

// StageOptions describe a layer on its way in.
type StageOptions struct {
	// Parent must exist, in any store; "" none.
	Parent ID
	// Mapping translates the tar's owners to those on disk. If it is not the parent's, the
	// layer gets copies of the parent's files with owners of this mapping, for which the
	// driver has to have the power (see Reowns).
	Mapping idmap.Mapping
	// MountLabel and StorageOpt are for the driver.
	MountLabel string
	StorageOpt map[string]string
	// Image: see CreateOptions.
	Image bool
	// Expect and ExpectBlob, when not empty, must be what the blob turns out to have.
	Expect     DiffID
	ExpectBlob BlobDigest
	// Progress, when not nil, is told how many bytes of the blob have been read so
	// far, from another goroutine.
	Progress func(blobBytes int64)
}

// Stage is an unpacked, hashed layer that no record speaks of yet. It is not safe
// for concurrent use. What it has on disk is held by a lock, so that sweeps of
// other processes leave it alone until this one ends.
type Stage struct {
	store   *Store
	opts    StageOptions
	parent  *Layer // as it was when staging began; nil for a base layer
	on      *Stage // what it is staged on, when that is a stage; then parent is nil
	dir     *tempdir.Dir
	split   *splitFile // nil: the driver reproduces exact diffs
	content stagedContent
	in      archive.Ingested
	copied  bool // by StageCopy: parent is what it was copied from
	synced  bool
	adopted bool
}

// Stage reads a layer's blob to its end, unpacks it and keeps what its exact tar
// needs, with no lock held. An empty blob is a valid empty layer. Blobs that do
// not have the expected digests are an errdefs.ErrCorrupt; an unknown parent is
// an ErrUnknown, one that is deleted meanwhile may be an ErrVanished. A cancelled or
// failed call leaves nothing. The caller adopts or discards the stage.
//
// A nil blob stages an empty writable layer, without digests. It is WriteTx.Create
// for drivers that copy the parent (vfs), without a lock while they do.
func (s *Store) Stage(ctx context.Context, opts StageOptions, blob io.Reader) (*Stage, error) {
	parent, err := s.stageParent(ctx, opts.Parent)
	if err != nil {
		return nil, err
	}
	s.sweep(ctx)
	if err := faults.Hit("layer.stage", s.opts.GraphDir); err != nil {
		return nil, err
	}
	dir, err := tempdir.New(s.tempRoot())
	if err != nil {
		return nil, err
	}
	st := &Stage{store: s, opts: opts, parent: parent, dir: dir}
	if err := st.fill(ctx, blob); err != nil {
		return nil, errors.Join(st.explain(ctx, fmt.Errorf("stage layer: %w", err)), st.Discard())
	}
	return st, nil
}

// explain returns why staging failed: cause, or that the layer below, whose files were
// not held by any lock, went meanwhile.
func (st *Stage) explain(ctx context.Context, cause error) error {
	if st.parent == nil {
		return cause
	}
	return newPin(st.store, *st.parent).explain(ctx, cause)
}

// stageParent looks the parent up; nil for none.
func (s *Store) stageParent(ctx context.Context, id ID) (*Layer, error) {
	if id == "" {
		return nil, nil
	}
	l, err := s.get(ctx, id)
	if err != nil {
		return nil, err
	}
	if l.Incomplete() {
		return nil, about(id, ErrIncomplete)
	}
	return &l, nil
}

// get is a View for one layer.
func (s *Store) get(ctx context.Context, id ID) (l Layer, err error) {
	tx, err := s.View(ctx)
	if err != nil {
		return Layer{}, err
	}
	defer closing(&err, tx)
	return tx.Get(id)
}

func (st *Stage) fill(ctx context.Context, blob io.Reader) error {
	content, err := st.newContent(ctx)
	if err != nil {
		return err
	}
	st.content = content
	if blob == nil {
		return nil
	}
	return st.read(ctx, blob)
}

// read takes the blob into the stage's content.
func (st *Stage) read(ctx context.Context, blob io.Reader) (err error) {
	in := archive.IngestOptions{
		Limits: st.store.opts.Limits, Progress: st.opts.Progress,
		Expect: digest.Digest(st.opts.Expect), ExpectBlob: digest.Digest(st.opts.ExpectBlob),
	}
	if !st.store.exactDriver() {
		split, err := newSplitFile(st.dir.Addition())
		if err != nil {
			return err
		}
		st.split, in.Split = split, split
	}
	if st.in, err = archive.Ingest(ctx, st.store.floor().Reader(blob), in, st.content.apply); err != nil {
		return err
	}
	if st.split == nil {
		return nil
	}
	return st.split.finish()
}

// floor is what layers leave free of the file system.
func (s *Store) floor() reserve.Floor {
	return reserve.Floor{Dir: s.opts.GraphDir, Bytes: s.opts.MinFree}
}

// Ingested returns digests, sizes and owners of the blob.
func (st *Stage) Ingested() archive.Ingested { return st.in }

// DiffID is the digest of the uncompressed tar.
func (st *Stage) DiffID() DiffID { return DiffID(st.in.Diff) }

// Sync makes the stage durable, unless the store was opened without. Adopt does
// it otherwise, under the lock. A second call does nothing.
func (st *Stage) Sync(ctx context.Context) error {
	if st.synced || !st.store.durable() {
		return nil
	}
	if err := faults.Hit("layer.sync", st.store.opts.GraphDir); err != nil {
		return fmt.Errorf("sync staged layer: %w", err)
	}
	// The tree first: drivers flush the whole file system, tar-split included, and
	// then there is nothing left to wait for.
	if err := st.content.sync(ctx); err != nil {
		return fmt.Errorf("sync staged layer: %w", err)
	}
	if st.split != nil {
		if err := st.split.sync(); err != nil {
			return err
		}
	}
	st.synced = true
	return nil
}

// Discard removes the stage; after Adopt it only releases the place. Always safe to defer.
func (st *Stage) Discard() error {
	var errs []error
	if st.content != nil {
		errs = append(errs, st.content.discard())
	}
	if st.split != nil {
		errs = append(errs, st.split.close())
		st.split = nil
	}
	return errors.Join(append(errs, st.dir.Close())...)
}

// tempRoot is where tar-splits wait to be adopted and deleted things to die
// (on-disk format, 3.7).
func (s *Store) tempRoot() string { return filepath.Join(s.opts.GraphDir, tempName) }
