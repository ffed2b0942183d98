package overlay

import (
	"context"
	"io"
	"sync"
)

// pipe runs write in a goroutine and returns what it writes as a reader. An error of write is
// the reader's; Close stops write and waits for it.
func pipe(ctx context.Context, write func(context.Context, io.Writer) error) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(write(ctx, w)) // always nil; a nil error of write is EOF
	}()
	return &pipeReader{Reader: r, stop: sync.OnceFunc(func() {
		cancel()
		_ = r.Close() // always nil
		<-done
	})}
}

type pipeReader struct {
	io.Reader
	stop func()
}

func (p *pipeReader) Close() error {
	p.stop()
	return nil
}
