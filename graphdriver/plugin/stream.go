package plugin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/stratastore/strata/graphdriver"
)

// maxErrorText is how much of an answer that is an error is read, in bytes.
const maxErrorText = 1 << 20

// Diff streams the plugin's tar. Closing early ends the work in the plugin, and waits for that
// end if the plugin can tell.
func (d *driver) Diff(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (io.ReadCloser, error) {
	q, err := d.diffRequest(diff, id, parent, opts)
	if err != nil {
		return nil, err
	}
	r, err := d.startDiff(ctx, q)
	if errors.Is(err, errNoInit) {
		if _, err := d.client.call(ctx, initialize, d.init); err != nil {
			return nil, err
		}
		r, err = d.startDiff(ctx, q)
	}
	if err != nil {
		return nil, d.classify(ctx, err, id, parent)
	}
	return r, nil
}

func (d *driver) startDiff(ctx context.Context, q request) (io.ReadCloser, error) {
	name := ""
	if q.Strata != nil {
		name = rand.Text()
		x := *q.Strata
		x.Stream, q.Strata = name, &x
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	defer d.waiting(diff)()
	w := d.watch(ctx, d.opts.LongTimeout) // comparing the trees comes before the first byte
	reply, err := d.connect(w.ctx, func() (*http.Response, error) {
		return d.post(w.ctx, diff, bytes.NewReader(body))
	})
	if err == nil && reply.StatusCode != http.StatusOK {
		err = refusal(w.ctx, reply)
	}
	w.rest()
	if err != nil {
		w.end()
		d.ended(ctx, name, err)
		return nil, d.fail(diff, err)
	}
	return &tarReader{driver: d, watch: w, body: reply.Body, stream: name}, nil
}

// refusal is the error in an answer that is no stream.
func refusal(ctx context.Context, reply *http.Response) error {
	defer reply.Body.Close()
	data, err := io.ReadAll(io.LimitReader(reply.Body, maxErrorText))
	if err != nil {
		return unavailable(ctx, err)
	}
	_, err = decode(reply.StatusCode, data)
	return err
}

// ended waits until a server has ended a stream that was broken off, so that it holds nothing
// mounted for it.
func (d *driver) ended(ctx context.Context, stream string, err error) {
	var remote *RemoteError
	if stream == "" || errors.As(err, &remote) {
		return
	}
	_, err = d.client.call(context.WithoutCancel(ctx), endStream, request{Strata: &extra{Stream: stream}})
	if err != nil {
		d.log.DebugContext(ctx, "storage driver plugin may still work on a stream", "error", err)
	}
}

// tarReader reads a diff. It is not safe for concurrent use.
type tarReader struct {
	driver *driver
	watch  *watch
	body   io.ReadCloser
	stream string
	err    error // what the last Read said
	closed bool
}

func (t *tarReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	t.watch.expect(t.driver.opts.Stall)
	n, err := t.body.Read(p)
	t.watch.rest()
	switch {
	case errors.Is(err, io.EOF):
		t.err = io.EOF
	case err != nil:
		t.err = t.driver.fail(diff, fmt.Errorf("the stream broke off: %w", unavailable(t.watch.ctx, err)))
	}
	return n, t.err
}

func (t *tarReader) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	t.watch.end()
	err := t.body.Close()
	if !errors.Is(t.err, io.EOF) {
		t.driver.ended(t.watch.ctx, t.stream, nil)
		return nil // of a body that was not read to its end
	}
	return err
}

// ApplyDiff streams the tar to the plugin, to its end. An error of reading it is returned as such.
func (d *driver) ApplyDiff(ctx context.Context, id, parent graphdriver.ID, tar io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	if err := valid(id, parent); err != nil {
		return 0, err
	}
	x, err := d.says(extra{Mapping: opts.Mapping, Limits: opts.Limits, Stream: rand.Text()}, !opts.Mapping.Empty(), "ID mapping")
	if err != nil {
		return 0, d.fail(applyDiff, err)
	}
	query := url.Values{queryID: {string(id)}, queryParent: {string(parent)}}
	stream := ""
	if x != nil {
		text, err := json.Marshal(x)
		if err != nil {
			return 0, err
		}
		query.Set(queryExtra, string(text))
		stream = x.Stream
	}
	w := d.watch(ctx, d.opts.Stall)
	defer w.end()
	body := &source{from: tar, watch: w, stall: d.opts.Stall, last: d.opts.LongTimeout}
	answer, err := d.apply(w.ctx, query, body)
	read := body.stop()
	if err == nil {
		return answer.Size, nil
	}
	d.ended(ctx, stream, err)
	if read != nil {
		return 0, fmt.Errorf("read the tar for layer %s: %w", id, read)
	}
	return 0, d.classify(ctx, d.fail(applyDiff, err), id, parent)
}

// apply sends the tar, once.
func (d *driver) apply(ctx context.Context, query url.Values, body *source) (response, error) {
	reply, err := d.connect(ctx, func() (*http.Response, error) {
		return d.post(ctx, applyDiff+"?"+query.Encode(), body)
	})
	if err != nil {
		return response{}, err
	}
	defer reply.Body.Close()
	data, err := io.ReadAll(io.LimitReader(reply.Body, maxErrorText))
	if err != nil {
		return response{}, unavailable(ctx, err)
	}
	return decode(reply.StatusCode, data)
}

// source is the tar as the body of a request. HTTP may go on reading it after the answer has
// come; stop puts an end to that. The time that the tar itself takes is not the plugin's.
type source struct {
	from        io.Reader
	watch       *watch
	stall, last time.Duration

	mu   sync.Mutex
	done bool
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return 0, io.ErrClosedPipe
	}
	s.watch.rest()
	n, err := s.from.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		s.watch.expect(s.last)
		return n, io.EOF
	case err != nil:
		s.err = err
	}
	s.watch.expect(s.stall)
	return n, err
}

// stop waits for a Read that runs and returns what reading the tar failed with.
func (s *source) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	return s.err
}

// watch ends a context when something that was expected does not come.
type watch struct {
	ctx    context.Context //nolint:containedctx // it is the request's, and ends with it
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// watch returns the context of a stream whose first move has to come within the time.
func (c *client) watch(ctx context.Context, within time.Duration) *watch {
	w := &watch{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(within, func() { w.cancel(errStalled) })
	return w
}

func (w *watch) expect(within time.Duration) { w.timer.Reset(within) }
func (w *watch) rest()                       { w.timer.Stop() }

// end releases the context.
func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}
