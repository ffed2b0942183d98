package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
)

// IngestOptions say what to do with a layer blob besides applying it. The zero
// value only measures it.
type IngestOptions struct {
	// Split gets the tar-split lines, uncompressed, from a goroutine of its own; nil:
	// none are made. It has them all when Ingest returns without an error.
	Split io.Writer
	// Limits cap the layer; zero fields mean DefaultLimits.
	Limits Limits
	// Progress is told how many bytes of the blob were read so far, now and then,
	// from another goroutine but never twice at once; nil: nobody is.
	Progress func(blobBytes int64)
	// Expect is the diff ID that the layer must have, ExpectBlob the digest of the
	// blob as it comes; "" takes any. Both have to be SHA-256.
	Expect, ExpectBlob digest.Digest
}

// readGrace is how long a failed Ingest waits for a read from the blob to return.
const readGrace = 200 * time.Millisecond

// Ingest reads a layer blob to its end, once: it detects the compression, unpacks
// it, takes the digests of both sides, splits the tar, and has apply store it.
// These run at the same time, with some MiB between them.
//
// apply gets the uncompressed tar, a *Stream: it passes it to Extract, or reads
// bytes from it, or neither; Ingest reads what is left. nil stands for an apply
// that does nothing. Its context ends when Ingest gives up. An empty blob is a
// valid, empty layer.
//
// A digest other than the expected is errdefs.ErrCorrupt and known only at the
// end, after apply; for the other errors see Decompress, Stream and Extract.
// After an error, a cancellation included, the caller throws away what apply and
// Split have made. Ingest does not wait for ever for a blob whose Read blocks:
// such a Read, and its goroutine, end when the caller closes the blob, which
// must not be read from until then.
func Ingest(ctx context.Context, blob io.Reader, opts IngestOptions, apply func(ctx context.Context, diff io.Reader) error) (Ingested, error) {
	if err := opts.validate(); err != nil {
		return Ingested{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &ingest{ctx: ctx, opts: opts, limits: opts.Limits.orDefault(), blobHash: sha256.New()}
	got, err := in.run(blob, apply)
	cancel()
	in.wait(err == nil)
	if err != nil {
		return Ingested{}, err
	}
	return in.verify(got)
}

func (o IngestOptions) validate() error {
	for _, d := range [2]digest.Digest{o.Expect, o.ExpectBlob} {
		if d == "" {
			continue
		}
		err := d.Validate()
		switch {
		case errors.Is(err, digest.ErrDigestUnsupported), err == nil && d.Algorithm() != digest.SHA256:
			return fmt.Errorf("digest %s: %w: only sha256 is", d, errdefs.ErrUnsupported)
		case err != nil:
			return fmt.Errorf("%w digest %q: %w", errdefs.ErrInvalid, d, err)
		}
	}
	return nil
}

// ingest is one call of Ingest.
type ingest struct {
	ctx    context.Context //nolint:containedctx // lives as long as the call
	opts   IngestOptions
	limits Limits
	tasks  sync.WaitGroup

	packed             *fan // the blob as it comes
	plain              *fan // unpacked; nil where the blob is the tar
	blobHash, diffHash hash.Hash
}

// run sets the goroutines up, has the layer applied and reads it to its end.
func (in *ingest) run(blob io.Reader, apply func(context.Context, io.Reader) error) (got Ingested, err error) {
	in.packed = newFan(in.ctx, 2)
	in.tasks.Go(func() { in.packed.fill(blob, false, in.progress) })
	in.tasks.Go(func() { in.packed.hash(0, in.blobHash) })

	packed := in.packed.reader(1)
	tar, compression, err := Decompress(packed)
	if err != nil {
		return got, err
	}
	got.Compression = compression
	if compression != None {
		tar = in.unpack(tar, packed)
	}
	return got, in.consume(tar, &got, apply)
}

func (in *ingest) progress(n int64) error {
	if in.opts.Progress != nil {
		in.opts.Progress(n)
	}
	return nil
}

// unpack moves decompression to a goroutine of its own.
func (in *ingest) unpack(tar io.ReadCloser, packed *fanReader) io.ReadCloser {
	in.plain = newFan(in.ctx, 2)
	in.diffHash = sha256.New()
	in.tasks.Go(func() {
		defer tar.Close() // only stops the decoder: what it read was judged by then
		in.plain.fill(tar, true, func(n int64) error { return in.ratio(n, packed.n.Load()) })
	})
	in.tasks.Go(func() { in.plain.hash(0, in.diffHash) })
	return io.NopCloser(in.plain.reader(1))
}

// ratio caps what comes out of the bytes that the decoder took so far.
func (in *ingest) ratio(plain, packed int64) error {
	if plain > ratioFrom && plain/in.limits.MaxRatio > packed {
		return limitError("bytes for one byte of its blob", in.limits.MaxRatio)
	}
	return nil
}

// consume runs apply on the tar and finishes it.
func (in *ingest) consume(tar io.Reader, got *Ingested, apply func(context.Context, io.Reader) error) (err error) {
	opts := StreamOptions{Limits: in.limits}
	if in.opts.Split != nil {
		split := newAsyncWriter(in.opts.Split)
		defer func() {
			if closeErr := split.Close(); err == nil {
				err = closeErr // otherwise it is the same, or follows from it
			}
		}()
		opts.Split = split
	}
	s := newStream(tar, opts)
	if apply != nil {
		if err := apply(in.ctx, s); err != nil {
			return err
		}
	}
	if err := s.Finish(); err != nil {
		return err
	}
	got.DiffSize = s.Bytes()
	got.Entries = s.Entries()
	got.UIDs, got.GIDs = s.Owners()
	return nil
}

// wait waits for the goroutines. After a failure one of them may be held up in
// the blob's Read.
func (in *ingest) wait(ok bool) {
	if ok {
		in.tasks.Wait()
		return
	}
	done := make(chan struct{})
	go func() {
		in.tasks.Wait()
		close(done)
	}()
	timeout := time.NewTimer(readGrace)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	}
}

// verify fills in the digests and holds them against the expected ones.
func (in *ingest) verify(got Ingested) (Ingested, error) {
	got.BlobSize = in.packed.n.Load()
	got.Blob = digest.NewDigest(digest.SHA256, in.blobHash)
	got.Diff = got.Blob
	if in.diffHash != nil {
		got.Diff = digest.NewDigest(digest.SHA256, in.diffHash)
	}
	return got, errors.Join(
		mismatch("layer blob", in.opts.ExpectBlob, got.Blob),
		mismatch("uncompressed layer", in.opts.Expect, got.Diff),
	)
}

func mismatch(what string, want, got digest.Digest) error {
	if want == "" || want == got {
		return nil
	}
	return fmt.Errorf("%w %s: its digest is %s, expected %s", errdefs.ErrCorrupt, what, got, want)
}
