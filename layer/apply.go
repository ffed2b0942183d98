package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
)

// ApplyOptions belong to ApplyDiff. The zero value takes any layer tar.
type ApplyOptions struct {
	// Expect and ExpectBlob, when not empty, must be what the blob turns out to have.
	Expect     DiffID
	ExpectBlob BlobDigest
	// Progress, when not nil, is told how many bytes of the blob have been read so
	// far, from another goroutine.
	Progress func(blobBytes int64)
}

// ApplyDiff unpacks a layer tar into an existing layer and records its digests,
// sizes and owners; layers with children and mounted ones are allowed.
//
// The blob is read, unpacked from its compression and checked before any lock is
// taken, so a slow or broken one disturbs nobody and changes nothing. The files
// are then unpacked under the exclusive lock, onto a second tree with the layer's own
// files in it, which takes the layer's place at once: when that fails or the process
// dies, the layer is as before or as wanted.
//
// A layer that is mounted, or below one that is, by the kernel or by the counts, and one of
// a driver or on a file system that can not exchange trees (graphdriver.Restager) is written
// in place instead. When that fails or the process dies, the layer keeps what was written
// and has no digests any more.
//
// ErrUnknown, ErrIncomplete; errdefs.ErrCorrupt for a bad blob. Call it without
// any transaction.
func (s *Store) ApplyDiff(ctx context.Context, id ID, blob io.Reader, opts ApplyOptions) (in archive.Ingested, err error) {
	a := &application{store: s, id: id}
	err = a.apply(ctx, blob, opts)
	return a.in, err
}

// applyChanges is ApplyDiff for a layer that goes on changing: its content is no
// one diff, so it gets no digests. It returns the bytes of file content.
func (s *Store) applyChanges(ctx context.Context, id ID, blob io.Reader) (int64, error) {
	a := &application{store: s, id: id, anonymous: true}
	err := a.apply(ctx, blob, ApplyOptions{})
	return a.content, err
}

// apply reads the blob and changes the layer.
func (a *application) apply(ctx context.Context, blob io.Reader, opts ApplyOptions) (err error) {
	if err := a.store.applicable(ctx, a.id); err != nil {
		return err
	}
	dir, err := tempdir.New(a.store.tempRoot())
	if err != nil {
		return err
	}
	defer closing(&err, dir)
	defer closing(&err, a)
	err = a.read(ctx, dir, blob, opts)
	if err == nil {
		err = a.run(ctx)
	}
	if err != nil {
		a.in = archive.Ingested{}
		return fmt.Errorf("apply diff to layer %s: %w", a.id, err)
	}
	return nil
}

// applicable looks before a long read whether there is a layer to apply to.
func (s *Store) applicable(ctx context.Context, id ID) error {
	l, err := s.get(ctx, id)
	switch {
	case err != nil:
		return err
	case l.ReadOnly:
		return about(id, ErrUnknown)
	case l.Incomplete():
		return about(id, ErrIncomplete)
	}
	return nil
}

// application is one diff on its way into an existing layer.
type application struct {
	store  *Store
	id     ID
	tar    *os.File   // the uncompressed tar
	split  *splitFile // nil: the driver reproduces exact diffs, or the layer gets no digests
	in     archive.Ingested
	staged graphdriver.Restaged // nil: the layer is written in place
	// anonymous: the layer gets no digests.
	anonymous bool
	content   int64 // bytes of file content
}

// read takes the blob into nameless and temporary files and checks it.
func (a *application) read(ctx context.Context, dir *tempdir.Dir, blob io.Reader, opts ApplyOptions) error {
	in := archive.IngestOptions{
		Limits: a.store.opts.Limits, Progress: opts.Progress,
		Expect: digest.Digest(opts.Expect), ExpectBlob: digest.Digest(opts.ExpectBlob),
	}
	if !a.store.exactDriver() && !a.anonymous {
		split, err := newSplitFile(dir.Addition())
		if err != nil {
			return err
		}
		a.split, in.Split = split, split
	}
	var err error
	a.in, err = archive.Ingest(ctx, a.store.floor().Reader(blob), in, func(_ context.Context, diff io.Reader) (err error) {
		a.tar, err = spool(dir.Path(), diff)
		return err
	})
	if err != nil || a.split == nil {
		return err
	}
	if err := a.split.finish(); err != nil || !a.store.durable() {
		return err
	}
	return a.split.sync()
}

// run changes the layer.
func (a *application) run(ctx context.Context) (err error) {
	tx, err := a.store.Begin(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	if err := a.change(ctx, tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (a *application) change(ctx context.Context, tx *WriteTx) error {
	r, err := tx.own(a.id)
	if err != nil {
		return err
	}
	if r.Incomplete() {
		return about(a.id, ErrIncomplete)
	}
	driver, can := a.store.driver().(graphdriver.Restager)
	if can {
		mounted, err := tx.mountedOn(ctx, a.id)
		if err != nil {
			return err
		}
		can = mounted == ""
	}
	if !can {
		return a.inPlace(ctx, tx, &r)
	}
	return a.whole(ctx, tx, driver, &r)
}

func (a *application) applyOptions(r *Record) graphdriver.ApplyOptions {
	return graphdriver.ApplyOptions{Mapping: r.Mapping(), Limits: a.store.opts.Limits}
}

// inPlace writes into a tree that is in use, or of a driver that has no other way.
func (a *application) inPlace(ctx context.Context, tx *WriteTx, r *Record) (err error) {
	if err := a.forget(ctx, tx, r); err != nil {
		return err
	}
	a.content, err = a.store.driver().ApplyDiff(ctx, graphdriver.ID(a.id), graphdriver.ID(r.Parent), a.tar, a.applyOptions(r))
	if err != nil {
		return err
	}
	if err := a.store.syncContent(); err != nil {
		return err
	}
	if a.split != nil {
		if err := a.split.adopt(a.store.opts.GraphDir, a.id, a.store.durable()); err != nil {
			return err
		}
	}
	if a.anonymous {
		return nil
	}
	return tx.update(a.id, func(r *Record) { r.setIngested(a.in) })
}

// forget takes away the digests of an earlier diff, before the first file changes.
func (a *application) forget(ctx context.Context, tx *WriteTx, r *Record) error {
	if !r.described() {
		return nil
	}
	err := tx.update(a.id, func(r *Record) {
		r.setIngested(archive.Ingested{})
		r.TOCDigest = ""
	})
	if err != nil {
		return err
	}
	if err := tx.records.Save(ctx); err != nil {
		return err
	}
	path, err := splitPath(a.store.opts.GraphDir, a.id)
	if err != nil {
		return err
	}
	if err := faults.Hit("layer.apply.forget", path); err != nil {
		return fmt.Errorf("remove old tar-split: %w", err)
	}
	if err := os.Remove(path); err != nil && !isMissing(err) {
		return fmt.Errorf("remove old tar-split: %w", err)
	}
	return nil
}

// Close lets go of the files.
func (a *application) Close() error {
	var errs []error
	if a.split != nil {
		errs = append(errs, a.split.close())
	}
	if a.staged != nil {
		errs = append(errs, a.staged.Discard())
	}
	return errors.Join(append(errs, closeFile(a.tar))...)
}

// closeFile closes f unless it is nil.
func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
