package layer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/stratastore/strata/archive"
)

// streamBuffer is how many bytes a diff's writer gathers before it waits for the reader.
const streamBuffer = 256 << 10

// diffStream is a tar that a goroutine of its own writes and packs. The goroutine
// ends with the source's end, an error, the context or Close.
type diffStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
	close  sync.Once
	err    error // of letting go of the source; set before done is closed
}

func newDiffStream(ctx context.Context, packing archive.Compression, source tarSource) *diffStream {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	d := &diffStream{PipeReader: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		err := pack(ctx, w, packing, source)
		d.err = source.Close()
		_ = w.CloseWithError(err) // never fails
	}()
	// Without this a writer that waits for a reader would not see the end of ctx.
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(context.Cause(ctx)) })
	return d
}

// pack writes the whole source to w. The packed stream gets its end only when
// all went well.
func pack(ctx context.Context, w io.Writer, packing archive.Compression, source tarSource) error {
	buffered := bufio.NewWriterSize(w, streamBuffer)
	packed, err := archive.Compress(buffered, packing)
	if err != nil {
		return err
	}
	if err := source.writeTo(ctx, packed); err != nil {
		// Nobody gets the end of the stream; closing frees the packer's goroutines.
		return errors.Join(err, ignoreClosed(packed.Close()))
	}
	if err := packed.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

func ignoreClosed(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// WriteTo copies in large pieces: io.Copy would wake the writer for each of its small ones.
func (d *diffStream) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(onlyWriter{w}, onlyReader{d.PipeReader}, make([]byte, streamBuffer))
}

// onlyWriter and onlyReader hide what would make io.CopyBuffer choose a buffer of its own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Close stops the work and waits until all that it held is let go.
func (d *diffStream) Close() error {
	d.close.Do(func() {
		_ = d.PipeReader.Close() // never fails
		d.cancel()
	})
	<-d.done
	return d.err
}

// closeStream closes d unless it is nil.
func closeStream(d *diffStream) error {
	if d == nil {
		return nil
	}
	return d.Close()
}
