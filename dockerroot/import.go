package dockerroot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// ImportOptions tune an import. The zero value is silent.
type ImportOptions struct {
	// Progress is told about each layer; nil is not.
	Progress oci.Progress
	// Rehash makes new tars of layers whose own can not be put together any more, from their
	// files as they are now. Such a layer has another diff ID, and the image another ID and the
	// same names. Without it, such an image fails. Every layer is read twice.
	Rehash bool
	// Logger gets warnings; nil means none are kept.
	Logger *slog.Logger
}

func (o ImportOptions) log() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Result is what became of one image.
type Result struct {
	Image Image
	// Loaded is set when Err is nil.
	Loaded oci.Loaded
	// Rehashed are the layers, by their chain IDs in Docker, that got new tars.
	Rehashed []layer.ChainID
	// Shared are the bytes of new layers that take no disk space, because they share Docker's.
	Shared int64
	// Err is the reason why the image is not in the store.
	Err error
}

// Import stores images one after the other, with IDs, names, configurations and
// layers as Docker has them. An image that fails stops none of the others: its
// Result has the reason. A name that another image of the store has moves. Where the file
// system can, the files of new layers share their disk space with Docker's. What Docker knows of an
// image's parent and last change is kept as its data (DataParent, DataLastUpdated).
//
// The error is for what makes going on of no use, such as a full disk, a
// read-only store or a cancelled context; the results up to there are returned
// with it. Complete layers of images that failed may be left in the store, for
// the next import to reuse.
func (r *Root) Import(ctx context.Context, store oci.Store, images []Image, opts ImportOptions) ([]Result, error) {
	var results []Result
	for _, img := range images {
		result := Result{Image: img}
		result.Err = r.importOne(ctx, store, &result, opts)
		if result.Err == nil {
			var err error
			if result.Shared, err = r.share(ctx, store, result.Loaded); err != nil && ctx.Err() == nil {
				opts.log().WarnContext(ctx, "files take disk space twice", "image", img.ID, "error", err)
			}
		}
		if isFinal(ctx, result.Err) {
			return results, fmt.Errorf("image %s: %w", img.ID, result.Err)
		}
		results = append(results, result)
	}
	return results, nil
}

func (r *Root) importOne(ctx context.Context, store oci.Store, result *Result, opts ImportOptions) error {
	src, lost, err := r.sourceFor(ctx, result.Image.ID, opts)
	if err == nil {
		var list []oci.Loaded
		list, err = oci.Load(ctx, withFacts{store, result.Image.facts()}, src, oci.LoadOptions{Progress: opts.Progress})
		if err = errors.Join(err, src.Close()); err == nil {
			result.Loaded, result.Rehashed = list[0], lost
			return nil
		}
	}
	if errors.Is(err, errdefs.ErrCorrupt) && errdefs.Hint(err) == "" {
		err = errdefs.WithHint(err, "the data root was changed or damaged since Docker stored the image: pull or build it anew")
	}
	return err
}

func (r *Root) sourceFor(ctx context.Context, id digest.Digest, opts ImportOptions) (oci.Source, []layer.ChainID, error) {
	if opts.Rehash {
		return r.rehashed(ctx, id)
	}
	src, err := r.Source(ctx, id)
	return src, nil, err
}

// isFinal reports whether the next image would fail in the same way.
func isFinal(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	for _, kind := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, errdefs.ErrReadOnly} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return ctx.Err() != nil
}
