package strata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// layerJob reads one layer as its tar.
func (v *verifier) layerJob(l layer.Layer) verifyJob {
	return verifyJob{bytes: max(l.DiffSize, 0), run: func(ctx context.Context, read func(int)) ([]Finding, error) {
		findings := v.layer(ctx, l, read)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if len(findings) == 0 {
			return nil, nil
		}
		if still, err := v.store.stillLayer(ctx, l); !still || err != nil {
			return nil, err
		}
		return findings, nil
	}}
}

// stillLayer reports whether the record is there and unchanged: otherwise what was
// read of the layer means nothing.
func (s *Store) stillLayer(ctx context.Context, l layer.Layer) (bool, error) {
	t, err := s.layers.Look(ctx)
	if err != nil {
		return false, err
	}
	now, err := t.Get(l.ID)
	if err = errors.Join(ignoreGone(err), t.Close()); err != nil {
		return false, err
	}
	return now.ID == l.ID && !now.Incomplete() && now.DiffID == l.DiffID && now.Created.Equal(l.Created), nil
}

// layerFinding is about l as a whole until Path is set.
func layerFinding(l *layer.Layer, p Problem, repair Repair, format string, args ...any) Finding {
	return Finding{
		Kind: KindLayer, ID: string(l.ID), ReadOnly: l.ReadOnly, Problem: p, Repair: repair,
		Reason: fmt.Sprintf(format, args...), Bytes: max(l.DiffSize, 0),
	}
}

func (v *verifier) layer(ctx context.Context, l layer.Layer, read func(int)) []Finding {
	if err := digest.Digest(l.DiffID).Validate(); err != nil {
		return []Finding{layerFinding(&l, ProblemContentDigest, RepairReload, "recorded digest %q: %v", l.DiffID, err)}
	}
	place, err := v.store.place(l.ID)
	switch {
	case errors.Is(err, graphdriver.ErrNotSupported):
		return v.layerByDriver(ctx, &l, read)
	case errors.Is(err, fs.ErrNotExist):
		return contentMissing(&l)
	case err != nil:
		return []Finding{layerFinding(&l, ProblemUnreadable, RepairNone, "%v", err)}
	}
	files, err := place.files()
	if errors.Is(err, fs.ErrNotExist) {
		return contentMissing(&l)
	}
	if err != nil {
		return []Finding{layerFinding(&l, ProblemUnreadable, RepairNone, "%v", err)}
	}
	defer files.Close() // read only: nothing to lose
	one := &layerVerifier{verifier: v, layer: &l, place: place, files: files, read: read}
	return one.run(ctx)
}

func contentMissing(l *layer.Layer) []Finding {
	return []Finding{layerFinding(l, ProblemContentMissing, RepairReload, "the driver has no content for it")}
}

// layerByDriver verifies a layer of a driver whose places are not known.
func (v *verifier) layerByDriver(ctx context.Context, l *layer.Layer, read func(int)) []Finding {
	r, err := v.store.layers.Diff(ctx, l.ID, "", layer.DiffOptions{Packing: layer.PackedAs(archive.None)})
	if err == nil {
		_, err = io.Copy(countWriter(read), r)
		err = errors.Join(err, r.Close())
	}
	switch {
	case err == nil || errors.Is(err, layer.ErrVanished) || errors.Is(err, layer.ErrUnknown):
		return nil
	case errors.Is(err, errdefs.ErrCorrupt):
		return []Finding{layerFinding(l, ProblemContentDigest, RepairReload, "%v", err)}
	}
	return []Finding{layerFinding(l, ProblemUnreadable, RepairNone, "%v", err)}
}

// layerVerifier is at work on one layer.
type layerVerifier struct {
	*verifier
	layer *layer.Layer
	place layerPlace
	files archive.FileGetter
	read  func(int)
}

func (v *layerVerifier) run(ctx context.Context) []Finding {
	split, err := v.store.layers.OpenSplit(*v.layer)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{layerFinding(v.layer, ProblemSplitMissing, RepairReload, "the tar-split is missing, so its exact tar can not be given back")}
	case err != nil:
		return v.splitDamaged(err)
	}
	defer split.Close() // read only: nothing to lose
	var tree *treeHeaders
	if v.trees {
		tree = readHeaders()
	}
	got, err := v.assemble(ctx, split, tree)
	headers := tree.finish(err)
	if errors.Is(err, errdefs.ErrLimit) {
		return v.splitDamaged(err) // reading it once more would find nothing else
	}
	if err != nil || got.digest != digest.Digest(v.layer.DiffID) || !v.sameSize(got.size) {
		return v.diagnose(ctx)
	}
	return v.compareTree(ctx, headers)
}

// sameSize: an empty layer has no recorded length.
func (v *layerVerifier) sameSize(n int64) bool { return v.layer.DiffSize < 0 || n == v.layer.DiffSize }

// splitDamaged is about a tar-split that can not be read, and whose fault that is.
func (v *layerVerifier) splitDamaged(err error) []Finding {
	if isPassing(err) {
		return []Finding{layerFinding(v.layer, ProblemUnreadable, RepairNone, "%v", err)}
	}
	return []Finding{layerFinding(v.layer, ProblemSplitDamaged, RepairReload, "its tar-split can not be read: %v", err)}
}

// isPassing reports whether reading failed for want of something, or of a right, that says nothing
// about what was to be read.
func isPassing(err error) bool {
	for _, reason := range []error{
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.EINTR, unix.EAGAIN, unix.ETIMEDOUT, unix.ESTALE,
		unix.EPERM, unix.EACCES, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// assemble writes the tar into a hash, and to tree.
func (v *layerVerifier) assemble(ctx context.Context, split io.Reader, tree *treeHeaders) (measured, error) {
	algorithm := digest.Digest(v.layer.DiffID).Algorithm()
	hash := algorithm.Hash()
	var n int64
	count := countWriter(func(k int) { n += int64(k); v.read(k) })
	out := []io.Writer{hash, count}
	if tree != nil {
		out = append(out, tree)
	}
	err := archive.Assemble(ctx, io.MultiWriter(out...), split, v.files)
	return measured{digest.NewDigest(algorithm, hash), n}, err
}
