package graphdriver

import (
	"context"
	"io"
	"sync"
)

// stream runs write in a goroutine and returns what it writes as a reader. An error of
// write is the reader's; Close stops write, waits for it, and then runs release, once,
// whose error it returns.
func stream(ctx context.Context, write func(context.Context, io.Writer) error, release func() error) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(write(ctx, w)) // always nil; a nil error of write is EOF
	}()
	closeAll := sync.OnceValue(func() error {
		cancel()
		_ = r.Close() // always nil
		<-done
		return release()
	})
	return &diffStream{r, closeAll}
}

type diffStream struct {
	io.Reader
	close func() error
}

func (s *diffStream) Close() error { return s.close() }
