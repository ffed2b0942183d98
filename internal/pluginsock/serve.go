package pluginsock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Refusal is an error with an HTTP status of its own. Any other is status 500.
type Refusal struct {
	Status int
	Err    error
}

// Error is that of Err.
func (e *Refusal) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Refusal) Unwrap() error { return e.Err }

// Refuse makes a Refusal.
func Refuse(status int, format string, args ...any) error {
	return &Refusal{status, fmt.Errorf(format, args...)}
}

// StatusOf is the HTTP status that an answer about err has; nil is 200.
func StatusOf(err error) int {
	var own *Refusal
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &own):
		return own.Status
	}
	return http.StatusInternalServerError
}

// RequirePost is a Refusal of what is no POST.
func RequirePost(w http.ResponseWriter, r *http.Request, method string) error {
	if r.Method == http.MethodPost {
		return nil
	}
	w.Header().Set("Allow", http.MethodPost)
	return Refuse(http.StatusMethodNotAllowed, "%s: requests are sent by POST", method)
}

// bodyTime is how long a request's JSON may take to arrive.
const bodyTime = 10 * time.Second

// ReadBody decodes a request's JSON of at most limit bytes into q; an empty one says nothing.
// Errors are Refusals.
func ReadBody(w http.ResponseWriter, r *http.Request, method string, limit int64, q any) error {
	// A client that stops in the middle is not waited for, nor at the end of the server.
	conn := http.NewResponseController(w)
	_ = conn.SetReadDeadline(time.Now().Add(bodyTime)) // a recorder of tests has none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = conn.SetReadDeadline(time.Time{}) // or the answer would be broken off
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return Refuse(http.StatusRequestEntityTooLarge, "%s: request has more than %d bytes", method, limit)
	}
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, q)
	}
	if err != nil {
		return Refuse(http.StatusBadRequest, "%s: request can not be read: %w", method, err)
	}
	return nil
}

// WriteAnswer sends an answer as JSON. An error is about one that has none: then the client
// gets a status 500.
func WriteAnswer(w http.ResponseWriter, status int, contentType string, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"Err":"answer can not be encoded"}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone reads no error either
	return err
}

// Serve answers requests on l until ctx ends, then waits for those that are running, for
// drain at most, and breaks off the others. It closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := stop(ctx, server, drain)
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}

func stop(ctx context.Context, server *http.Server, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests still run: %w", err), server.Close())
	}
	return nil
}

// Retry sends a request, and again for as long as nobody can be connected to, with waits of
// 1, 2, 4 and 8 seconds, but not longer than patience. A request that was sent is never
// sent again. waits is called before each wait. The error is send's last.
func Retry(ctx context.Context, patience time.Duration, send func() error, waits func(wait time.Duration, err error)) error {
	start := time.Now()
	for wait := time.Second; ; wait *= 2 {
		err := send()
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" || time.Since(start)+wait > patience || ctx.Err() != nil {
			return err
		}
		waits(wait, err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}
