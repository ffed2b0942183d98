package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// errSent says that an answer was begun and can not be finished.
var errSent = errors.New("the stream broke off")

const (
	// bufferSize is what is kept of a stream, in bytes.
	bufferSize = 64 << 10
	// maxRefused is how much of a tar that is refused is read, so that its client gets the answer.
	maxRefused = 64 << 20
)

// stream is the name that the client gave a Diff or an ApplyDiff, "" if none.
func (q request) stream() string {
	if q.Strata == nil {
		return ""
	}
	return q.Strata.Stream
}

// streams are the running ones that have names.
type streams struct {
	mu      sync.Mutex
	running map[string]*running
}

// running is one stream; done is closed when it has ended.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// begin notes a stream; the function that it returns notes its end.
func (s *streams) begin(ctx context.Context, name string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" || s.running[name] != nil {
		return ctx, cancel
	}
	if s.running == nil {
		s.running = map[string]*running{}
	}
	s.running[name] = r
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, name)
		close(r.done)
	}
}

// end cancels a stream and waits for its end.
func (s *streams) end(ctx context.Context, name string) {
	s.mu.Lock()
	r := s.running[name]
	s.mu.Unlock()
	if r == nil {
		return
	}
	r.cancel()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

// sendDiff streams a diff. Nothing is sent before the first bytes are there, so that most
// errors can still be answered as such; a later one is errSent.
func (s *Server) sendDiff(ctx context.Context, w http.ResponseWriter, j job) (err error) {
	ctx, ended := s.streams.begin(ctx, j.request.stream())
	defer ended()
	tar, err := j.driver.Diff(ctx, j.id, j.parent, j.diffOptions())
	if err != nil {
		return err
	}
	buf := make([]byte, bufferSize)
	n, err := io.ReadFull(tar, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.Join(err, tar.Close())
	}
	w.Header().Set("Content-Type", tarType)
	w.WriteHeader(http.StatusOK)
	_, err = io.CopyBuffer(onlyWriter{w}, io.MultiReader(bytes.NewReader(bytes.Clone(buf[:n])), onlyReader{tar}), buf)
	if err = errors.Join(err, tar.Close()); err != nil {
		return fmt.Errorf("%w: %w", errSent, err)
	}
	return nil
}

// onlyWriter and onlyReader hide the methods by which a copy would pass over the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// receive unpacks the tar in a request's body and reads that to its end before it answers.
func (s *Server) receive(ctx context.Context, body io.Reader, j job) (response, error) {
	ctx, ended := s.streams.begin(ctx, j.request.stream())
	defer ended()
	n, err := j.driver.ApplyDiff(ctx, j.id, j.parent, body, applyOptions(j))
	if err != nil {
		_, _ = io.CopyN(io.Discard, body, maxRefused) // the answer is the first error
		return response{}, err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return response{}, fmt.Errorf("read the tail of the tar for layer %s: %w", j.id, err)
	}
	return response{Size: n}, nil
}
