package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/archive"
)

// tarSource writes an uncompressed layer tar once, and lets go of what it holds.
type tarSource interface {
	writeTo(ctx context.Context, w io.Writer) error
	io.Closer
}

// splitSource puts the exact tar together from a tar-split and the layer's files.
type splitSource struct {
	split *splitReader
	files archive.FileGetCloser
}

func (s *splitSource) writeTo(ctx context.Context, w io.Writer) error {
	return archive.Assemble(ctx, w, s.split, s.files)
}

func (s *splitSource) Close() error { return errors.Join(s.split.Close(), s.files.Close()) }

// copySource passes on a tar that exists already.
type copySource struct{ io.ReadCloser }

func (s *copySource) writeTo(ctx context.Context, w io.Writer) error {
	_, err := io.Copy(w, &ctxReader{ctx, s.ReadCloser})
	return err
}

// ctxReader ends with the context.
type ctxReader struct {
	ctx context.Context //nolint:containedctx // lives as long as one copy
	io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// verified makes sure at the end that the tar is the one that was asked for.
type verified struct {
	source tarSource
	want   DiffID // "": not known
	pin    *pin
	id     ID
}

func (v *verified) writeTo(ctx context.Context, w io.Writer) error {
	if v.want == "" {
		if err := v.source.writeTo(ctx, w); err != nil {
			return v.failed(ctx, err)
		}
		return v.pin.check(ctx)
	}
	got, err := v.hashTo(ctx, w)
	if err != nil {
		return v.failed(ctx, err)
	}
	if got != v.want {
		return v.pin.explain(ctx, corrupt(v.id, v.want, got))
	}
	return nil
}

// hashTo writes the tar and returns its digest.
func (v *verified) hashTo(ctx context.Context, w io.Writer) (DiffID, error) {
	algorithm := digest.Digest(v.want).Algorithm()
	hash := algorithm.Hash()
	if err := v.source.writeTo(ctx, io.MultiWriter(hash, w)); err != nil {
		return "", err
	}
	return DiffID(digest.NewDigest(algorithm, hash)), nil
}

// failed finds the reason of an error that the source ended with. The reader's
// own going away is none.
func (v *verified) failed(ctx context.Context, err error) error {
	if errors.Is(err, io.ErrClosedPipe) || ctx.Err() != nil {
		return err
	}
	return v.pin.explain(ctx, fmt.Errorf("diff of layer %s: %w", v.id, err))
}

func (v *verified) Close() error { return v.source.Close() }
