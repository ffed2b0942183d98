package plugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/pluginsock"
	"github.com/stratastore/strata/volume"
)

// Defaults of ClientOptions.
const (
	DefaultHandshake   = 10 * time.Second
	DefaultNotice      = 2 * time.Second
	DefaultTimeout     = time.Minute
	DefaultLongTimeout = 2 * time.Minute
	DefaultRetry       = 5 * time.Second
)

// maxAnswer is the longest answer that is read, in bytes.
const maxAnswer = 16 << 20

// ErrNoVolumeDriver says that the plugin answers, but offers no volumes.
var ErrNoVolumeDriver = errdefs.New(errdefs.ErrUnsupported, "plugin is no volume driver")

// ClientOptions tune a Client.
type ClientOptions struct {
	// Handshake limits the question what a plugin is, which a living one answers at once; 0 is
	// DefaultHandshake.
	Handshake time.Duration
	// Timeout limits each request, LongTimeout those of Create and Mount; 0 is
	// DefaultTimeout and DefaultLongTimeout.
	Timeout, LongTimeout time.Duration
	// Retry is how long a plugin that can not be connected to is tried, with waits of 1, 2,
	// 4 and 8 seconds; 0 is DefaultRetry, negative is not at all. A request that was
	// sent is never sent again.
	Retry time.Duration
	// Notice is how long an answer may take before the logger is told who is waited for; 0 is
	// DefaultNotice.
	Notice time.Duration
	// Logger gets what is noteworthy and no error; nil: nothing is logged.
	Logger *slog.Logger
}

// Client is a plugin as a volume.Driver. It is safe for concurrent use. The first request
// makes the handshake; until then nothing is known of the plugin.
//
// A plugin that can not be reached is a volume.ErrUnavailable, what it answers as an error
// a *RemoteError.
type Client struct {
	name string
	addr Address
	opts ClientOptions
	http *http.Client
	base string

	mu     sync.Mutex
	active bool
	scope  volume.Scope // "" until the plugin told
}

var _ volume.Driver = (*Client)(nil)

// RemoteError is an error that a plugin answered.
type RemoteError struct {
	// Method is the protocol's, Status the HTTP status.
	Method string
	Status int
	Text   string
}

// Error is the text with the method before it, as Docker shows it.
func (e *RemoteError) Error() string { return e.Method + ": " + e.Text }

// NewClient returns the plugin at an address as a driver called name. Nothing is sent yet.
func NewClient(name string, addr Address, opts ClientOptions) (*Client, error) {
	transport, scheme, err := addr.Transport()
	if err != nil {
		return nil, fmt.Errorf("volume plugin %s: %w", name, err)
	}
	opts.Handshake = cmp.Or(opts.Handshake, DefaultHandshake)
	opts.Notice = cmp.Or(opts.Notice, DefaultNotice)
	opts.Timeout = cmp.Or(opts.Timeout, DefaultTimeout)
	opts.LongTimeout = cmp.Or(opts.LongTimeout, DefaultLongTimeout)
	opts.Retry = cmp.Or(opts.Retry, DefaultRetry)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{name: name, addr: addr, opts: opts, base: scheme + "://" + host + "/", http: &http.Client{Transport: transport}}, nil
}

// Name is the plugin's name.
func (c *Client) Name() string { return c.name }

// call makes the handshake if it is missing, and a request.
func (c *Client) call(ctx context.Context, method string, q request) (response, error) {
	limit := c.opts.Timeout
	if method == create || method == mount {
		limit = c.opts.LongTimeout
	}
	if err := c.Activate(ctx); err != nil {
		return response{}, err
	}
	return c.request(ctx, limit, method, q)
}

// Activate makes the handshake, unless it is made. The other methods do so by themselves; who
// holds something that others wait for may do it before.
func (c *Client) Activate(ctx context.Context) error {
	c.mu.Lock()
	active := c.active
	c.mu.Unlock()
	if active {
		return nil
	}
	answer, err := c.request(ctx, min(c.opts.Handshake, c.opts.LongTimeout), activate, request{})
	if err != nil {
		return err
	}
	if !slices.Contains(answer.Implements, implements) {
		return fmt.Errorf("plugin %s: %w", c.name, ErrNoVolumeDriver)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = true
	return nil
}

// request sends a request, trying again for as long as the plugin can not be connected to.
// It ends after limit.
func (c *Client) request(ctx context.Context, limit time.Duration, method string, q request) (response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, volume.NoAnswer(limit))
	defer cancel()
	whom := fmt.Sprintf("volume plugin %s at %s (%s)", c.name, c.addr, strings.TrimPrefix(method, "VolumeDriver."))
	defer pluginsock.Waiting(c.opts.Logger, whom, c.opts.Notice)()
	body, err := json.Marshal(q)
	if err != nil {
		return response{}, err
	}
	if method == activate {
		body = nil
	}
	var answer response
	err = pluginsock.Retry(ctx, c.opts.Retry, func() error {
		answer, err = c.send(ctx, method, body)
		return err
	}, func(wait time.Duration, err error) {
		c.opts.Logger.Warn("volume plugin can not be reached and is tried again", "plugin", c.name, "wait", wait, "error", err)
	})
	return answer, err
}

func (c *Client) send(ctx context.Context, method string, body []byte) (response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+method, bytes.NewReader(body))
	if err != nil {
		return response{}, err
	}
	r.Header.Set("Accept", accept)
	r.GetBody = nil // or a request that was sent may be sent again
	reply, err := c.http.Do(r)
	if err != nil {
		return response{}, c.unavailable(ctx, method, err)
	}
	defer reply.Body.Close()
	data, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer+1))
	if err != nil {
		return response{}, c.unavailable(ctx, method, err)
	}
	if len(data) > maxAnswer {
		return response{}, fmt.Errorf("%s: answer of plugin %s has more than %d bytes: %w", method, c.name, maxAnswer, errdefs.ErrLimit)
	}
	return decode(method, reply.StatusCode, data)
}

func (c *Client) unavailable(ctx context.Context, method string, err error) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = cause
	}
	return fmt.Errorf("%s: plugin %s: %w: %w", method, c.name, volume.ErrUnavailable, err)
}

// decode reads an answer. Plugins put errors into a 200, or plain text beside another status.
func decode(method string, status int, data []byte) (response, error) {
	var answer response
	err := json.Unmarshal(data, &answer)
	switch {
	case status != http.StatusOK && (err != nil || answer.Err == ""):
		text := strings.TrimSpace(string(data[:min(len(data), 1<<10)]))
		if text == "" || err == nil {
			text = "status " + http.StatusText(status)
		}
		return response{}, &RemoteError{Method: method, Status: status, Text: text}
	case err != nil:
		return response{}, &RemoteError{Method: method, Status: status, Text: "answer is no JSON object: " + err.Error()}
	case answer.Err != "":
		return response{}, &RemoteError{Method: method, Status: status, Text: answer.Err}
	}
	return answer, nil
}
