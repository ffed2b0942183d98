package archive

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stratastore/strata/errdefs"
)

const (
	// packedBuffer is how much packed data a decoder finds ready.
	packedBuffer = 64 << 10
	// maxWindow is the largest zstd window: what the zstd program takes unasked.
	maxWindow = 128 << 20
)

// decoder unpacks one format. It reads in to its end or fails: what stands
// behind the packed stream must be another one of the same format. This is all
// that a decoder of another make has to be.
type decoder func(in *bufio.Reader) (io.ReadCloser, error)

// decoderOf returns the decoder of a format; that of None passes on what it gets.
func decoderOf(c Compression) decoder {
	switch c {
	case Bzip2:
		return func(in *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(in)), nil }
	case Gzip:
		return func(in *bufio.Reader) (io.ReadCloser, error) { return gzip.NewReader(in) }
	case Xz:
		return openXz
	case Zstd:
		return openZstd
	}
	return func(in *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(in), nil }
}

// Decompress detects how r is packed and returns its plain bytes. Concatenated
// streams of one format are one; zstd skippable frames carry nothing. A wrong
// checksum, a cut stream and garbage behind it are errdefs.ErrCorrupt; errors
// of r come back as they are. The caller closes the result, which stops the
// decoder's goroutines and leaves r open.
func Decompress(r io.Reader) (io.ReadCloser, Compression, error) {
	src := &source{r: r}
	in := bufio.NewReaderSize(src, packedBuffer)
	prefix, err := in.Peek(detectLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, None, err
	}
	c := Detect(prefix)
	u := &unpacker{src: src, in: in, format: c}
	if err := u.open(); err != nil {
		return nil, c, u.explain(err)
	}
	return u, c, nil
}

// DecompressWithin is Decompress for the bytes of strangers that are unpacked for another
// use than a layer's: what grows beyond MaxBytes or MaxRatio ends with an errdefs.ErrLimit.
// Zero fields mean DefaultLimits.
func DecompressWithin(r io.Reader, limits Limits) (io.ReadCloser, Compression, error) {
	packed := &tally{r: r}
	plain, c, err := Decompress(packed)
	if err != nil {
		return nil, c, err
	}
	return &within{ReadCloser: plain, packed: packed, limits: limits.orDefault()}, c, nil
}

// tally counts what is read, for another goroutine to see.
type tally struct {
	r io.Reader
	n atomic.Int64
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n.Add(int64(n))
	return n, err
}

// within holds what comes out against its caps.
type within struct {
	io.ReadCloser
	packed *tally
	limits Limits
	n      int64
}

func (w *within) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	w.n += int64(n)
	switch {
	case w.n > w.limits.MaxBytes:
		return n, fmt.Errorf("it unpacks to more than %d bytes: %w", w.limits.MaxBytes, errdefs.ErrLimit)
	case w.n > ratioFrom && w.n/w.limits.MaxRatio > w.packed.n.Load():
		return n, fmt.Errorf("it unpacks to more than %d times its size: %w", w.limits.MaxRatio, errdefs.ErrLimit)
	}
	return n, err
}

// source remembers why reading failed, so that a decoder's complaint about it
// is not taken for bad data.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// unpacker makes one kind of error out of those of all decoders.
type unpacker struct {
	src    *source
	in     *bufio.Reader
	dec    io.ReadCloser
	format Compression
}

func (u *unpacker) open() (err error) {
	defer u.recover(&err)
	u.dec, err = decoderOf(u.format)(u.in)
	return err
}

// Read returns plain bytes; io.EOF only when the packed stream is whole and r at
// its end.
func (u *unpacker) Read(p []byte) (n int, err error) {
	n, err = u.read(p)
	if err == nil {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		if _, err = u.in.ReadByte(); errors.Is(err, io.EOF) {
			return n, io.EOF
		}
		if err == nil {
			err = errors.New("data after the end")
		}
	}
	return n, u.explain(err)
}

func (u *unpacker) read(p []byte) (n int, err error) {
	defer u.recover(&err)
	return u.dec.Read(p)
}

// recover turns a panic of a decoder into its error: the bytes are a stranger's,
// and a decoder that trips over them must not take the program down.
func (u *unpacker) recover(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("decoder gave up: %v", v)
	}
}

func (u *unpacker) explain(err error) error {
	if u.src.err != nil {
		return u.src.err
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return fmt.Errorf("%w: zstd window larger than %d bytes", errdefs.ErrLimit, maxWindow)
	}
	return fmt.Errorf("%w %s data: %w", errdefs.ErrCorrupt, u.format, err)
}

// Close stops the decoder.
func (u *unpacker) Close() error { return u.dec.Close() }

func openZstd(in *bufio.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<63))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}
