package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
)

// StreamOptions say what is done with a layer tar while it is read.
type StreamOptions struct {
	// Split gets the tar-split lines, uncompressed, in large pieces; nil: none are
	// made. It has them all after Finish.
	Split io.Writer
	// Limits cap the tar; zero fields mean DefaultLimits.
	Limits Limits
}

// Stream is an uncompressed layer tar on its way in. However it is consumed, the
// tar is parsed once, and that one parse serves the tar-split lines, the set of
// owners, the caps and the unpacking: Extract takes entries out of it, and
// whoever wants bytes reads them. Use one way or the other, then Finish. It is
// for one goroutine.
//
// A tar in which two entries have the same cleaned name is refused
// (errdefs.ErrInvalid), as by the other engines: the lines find content by name.
// A tar that ends without its end marker is whole if it ends between two
// entries; cut elsewhere, or if it is no tar, it is errdefs.ErrCorrupt. Caps
// give errdefs.ErrLimit. Errors of the underlying reader come back as they are.
type Stream struct {
	tap    tap
	tr     *tar.Reader
	split  *splitWriter
	limits Limits

	names      map[string]struct{}
	nameBytes  int64
	uids, gids owners
	entries    int64
	expanded   int64 // bytes that sparse entries stand for

	use  streamUse
	out  []byte // raw bytes that Read still owes
	cur  item
	load payload
	err  error // the first one, io.EOF after the last entry
	done bool  // the tail was read too
}

type streamUse int

const (
	useNone streamUse = iota
	useBytes
	useEntries
)

var errMixedUse = errdefs.New(errdefs.ErrInvalid, "a layer stream is either read or unpacked")

// NewStream starts reading the tar r. It reads ahead of what it returns.
func NewStream(r io.Reader, opts StreamOptions) *Stream {
	return newStream(bufio.NewReaderSize(r, 128<<10), opts)
}

// newStream does without a buffer: small reads from r have to be cheap.
func newStream(r io.Reader, opts StreamOptions) *Stream {
	limits := opts.Limits.orDefault()
	s := &Stream{
		tap:    tap{r: r, maxBytes: limits.MaxBytes, maxHeader: limits.MaxHeader},
		split:  newSplitWriter(opts.Split),
		limits: limits,
		names:  map[string]struct{}{},
	}
	s.tr = tar.NewReader(&s.tap)
	return s
}

// Read returns the tar's bytes exactly as they come, up to and including
// whatever follows its end marker.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.begin(useBytes); err != nil || len(p) == 0 {
		return 0, err
	}
	for {
		switch {
		case len(s.out) > 0:
			n := copy(p, s.out)
			s.out = s.out[n:]
			return n, nil
		case errors.Is(s.err, io.EOF):
			return s.tail(p)
		case s.err != nil:
			return 0, s.err
		case s.load.left > 0:
			n, err := s.content(p)
			if n > 0 || err != nil {
				return n, err
			}
		default:
			s.out = s.advance()
		}
	}
}

// begin settles on one way to use the stream.
func (s *Stream) begin(use streamUse) error {
	if s.use != useNone && s.use != use {
		return errMixedUse
	}
	s.use = use
	return nil
}

// next moves to the next entry, over what is left of the current one's content;
// io.EOF after the last. The item is valid until the next call.
func (s *Stream) next() (*item, error) {
	if err := s.begin(useEntries); err != nil {
		return nil, err
	}
	if err := s.skip(); err != nil {
		return nil, err
	}
	s.advance()
	return &s.cur, s.err
}

// advance reads the next header into s.cur and returns its raw bytes, with the
// padding that comes before. The outcome is in s.err.
func (s *Stream) advance() (raw []byte) {
	if s.err != nil {
		return nil
	}
	s.tap.record()
	hdr, err := s.header()
	raw = s.tap.stop()
	switch {
	case s.tap.err != nil:
		s.err = s.tap.err
	case errors.Is(err, io.EOF) && !s.dangling(raw):
		s.split.segment(raw)
		s.load.filed = true // what follows belongs to no entry
		s.err = io.EOF
	case errors.Is(err, io.EOF):
		s.err = s.corrupt(io.ErrUnexpectedEOF)
	case err != nil:
		s.err = s.corrupt(err)
	default:
		s.err = s.accept(hdr, raw)
	}
	if err := s.split.failed(); err != nil {
		s.err = err
	}
	return raw
}

// dangling reports whether the last raw bytes have extended headers whose entry
// is missing, which the parser takes for an ordinary end.
func (s *Stream) dangling(raw []byte) bool {
	rest := raw[min(padOf(s.cur.size), len(raw)):]
	return len(bytes.Trim(rest, "\x00")) > 0
}

// header reads padding and header blocks.
func (s *Stream) header() (*tar.Header, error) {
	if s.load.direct {
		// The parser does not know that the content was read behind its back.
		if err := s.padding(); err != nil {
			return nil, err
		}
		s.tr = tar.NewReader(&s.tap)
	}
	hdr, err := s.tr.Next()
	if errors.Is(err, tar.ErrInsecurePath) {
		err = nil // an environment setting asks for it; accept judges names itself
	}
	return hdr, err
}

// padding reads up to the next block; io.EOF for a tar that ends inside of it.
func (s *Stream) padding() error {
	var block [blockSize]byte
	_, err := io.ReadFull(&s.tap, block[:padOf(s.cur.size)])
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return err
}

// corrupt says where the tar is broken.
func (s *Stream) corrupt(err error) error {
	where := "at its start"
	if s.cur.hdr != nil {
		where = fmt.Sprintf("at or after %q", s.cur.hdr.Name)
	}
	if errors.Is(err, tar.ErrFieldTooLong) {
		return fmt.Errorf("layer tar, %s: extended header: %w: %w", where, err, errdefs.ErrLimit)
	}
	return fmt.Errorf("%w layer tar, %s: %w", errdefs.ErrCorrupt, where, err)
}

// skip reads over what is left of the current content.
func (s *Stream) skip() error {
	if s.load.left == 0 {
		return nil
	}
	buf := buffers.get(copySize)
	defer buffers.put(buf)
	for s.load.left > 0 && s.err == nil {
		if _, err := s.content(buf.data); err != nil {
			return err
		}
	}
	return s.err
}

// Finish reads whatever is left of the tar to its end, with what follows the end
// marker, and hands the last tar-split lines over. It may be called again.
func (s *Stream) Finish() error {
	buf := buffers.get(copySize)
	defer buffers.put(buf)
	for s.err == nil {
		if err := s.skip(); err != nil {
			return err
		}
		s.advance()
	}
	if !errors.Is(s.err, io.EOF) {
		return s.err
	}
	for {
		if _, err := s.tail(buf.data); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// tail reads what follows the end marker; io.EOF once the lines are out too.
func (s *Stream) tail(p []byte) (int, error) {
	if s.done {
		return 0, io.EOF
	}
	n, err := s.tap.Read(p)
	s.load.raw(s, p[:n])
	if errors.Is(err, io.EOF) {
		s.load.flush(s)
		if err = s.split.flush(); err == nil {
			s.done = true
			err = io.EOF
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Owners returns the distinct owners in the headers so far, ascending; whiteouts
// are not counted.
func (s *Stream) Owners() (uids, gids []uint32) { return s.uids.sorted(), s.gids.sorted() }

// Entries returns how many headers were read so far, global ones included.
func (s *Stream) Entries() int64 { return s.entries }

// Bytes returns how many bytes of the tar were read so far.
func (s *Stream) Bytes() int64 { return s.tap.n }
