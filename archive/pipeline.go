package archive

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync/atomic"
)

// chunk is a piece of a stream that several goroutines read at the same time.
type chunk struct {
	buf  *buffer
	data []byte
	refs atomic.Int32
}

// fan passes a stream in chunks from the one goroutine that runs fill to a
// number of readers, each of which sees all of it. At most fanDepth chunks
// exist, so the fastest runs that far ahead of the slowest and no further.
//
// Nothing in it can block for ever: handing a chunk over never waits, since each
// reader's channel has room for all there are, and whoever waits for a chunk
// also waits for the context.
type fan struct {
	ctx  context.Context //nolint:containedctx // ends with the one call of Ingest that made it
	free chan *chunk
	outs []chan *chunk
	n    atomic.Int64 // bytes so far
	// err is why the stream ended, nil at its end. Readers may look once their
	// channel is closed.
	err error
}

const (
	fanDepth = 8
	fanChunk = copySize
)

// newFan makes a fan for a number of readers, who must all read to the end or
// end the context.
func newFan(ctx context.Context, readers int) *fan {
	f := &fan{ctx: ctx, free: make(chan *chunk, fanDepth)}
	for range fanDepth {
		f.free <- &chunk{}
	}
	for range readers {
		f.outs = append(f.outs, make(chan *chunk, fanDepth))
	}
	return f
}

// fill reads r to its end and then closes the readers' channels. check is called
// with the bytes so far after each chunk and may end the stream. Chunks have what
// one Read returns: a source that pauses holds nothing back. full fills them up
// instead, for sources that return little at a time.
func (f *fan) fill(r io.Reader, full bool, check func(n int64) error) {
	read := r.Read
	if full {
		read = func(p []byte) (int, error) { return fillUp(r, p) }
	}
	defer func() {
		for _, out := range f.outs {
			close(out)
		}
	}()
	for f.err == nil {
		var c *chunk
		select {
		case c = <-f.free:
		case <-f.ctx.Done():
			f.err = context.Cause(f.ctx)
			return
		}
		end := f.one(c, read)
		if f.err == nil {
			f.err = check(f.n.Load())
		}
		if end {
			return
		}
	}
}

// one fills and hands over one chunk.
func (f *fan) one(c *chunk, read func([]byte) (int, error)) (end bool) {
	c.buf = buffers.get(fanChunk)
	n, err := read(c.buf.data)
	f.n.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	c.data = c.buf.data[:n]
	c.refs.Store(int32(len(f.outs)))
	for _, out := range f.outs {
		out <- c
	}
	return errors.Is(err, io.EOF)
}

// fillUp is io.ReadFull without its opinion of a short end.
func fillUp(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

// release is called by each reader when it is done with a chunk.
func (f *fan) release(c *chunk) {
	if c.refs.Add(-1) == 0 {
		buffers.put(c.buf)
		c.buf, c.data = nil, nil
		f.free <- c
	}
}

// hash is a reader that feeds a hash.
func (f *fan) hash(out int, h hash.Hash) {
	for c := range f.outs[out] {
		h.Write(c.data) // never fails, by its contract
		f.release(c)
	}
}

// reader is a reader that is an io.Reader.
func (f *fan) reader(out int) *fanReader { return &fanReader{f: f, in: f.outs[out]} }

type fanReader struct {
	f    *fan
	in   <-chan *chunk
	cur  *chunk
	rest []byte
	n    atomic.Int64 // bytes handed out; a decoder may read on a goroutine of its own
}

func (r *fanReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.rest) == 0 {
		if err := r.turn(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.n.Add(int64(n))
	return n, nil
}

// turn waits for the next chunk.
func (r *fanReader) turn() error {
	if r.cur != nil {
		r.f.release(r.cur)
		r.cur = nil
	}
	select {
	case c, ok := <-r.in:
		if ok {
			r.cur, r.rest = c, c.data
			return nil
		}
	case <-r.f.ctx.Done():
		return context.Cause(r.f.ctx)
	}
	if r.f.err != nil {
		return r.f.err
	}
	return io.EOF
}
