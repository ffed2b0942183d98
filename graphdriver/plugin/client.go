package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/pluginsock"
)

// Defaults of ClientOptions.
const (
	DefaultHandshake   = 10 * time.Second
	DefaultTimeout     = time.Minute
	DefaultLongTimeout = 15 * time.Minute
	DefaultStall       = 5 * time.Minute
	DefaultRetry       = 5 * time.Second
	DefaultNotice      = 2 * time.Second
)

// maxAnswer is the longest answer that is read, in bytes. The list of changes of a layer of a
// million files has a tenth of it.
const maxAnswer = 1 << 30

// ClientOptions tune a client. The zero value is right.
type ClientOptions struct {
	// Handshake limits the questions what a plugin is and what it can do, which a living one
	// answers at once; 0 is DefaultHandshake.
	Handshake time.Duration
	// Timeout limits requests that are a matter of moments, LongTimeout those that may copy or
	// compare whole trees (Create, Remove, Changes, DiffSize, and the end of ApplyDiff); 0 is
	// DefaultTimeout and DefaultLongTimeout.
	Timeout, LongTimeout time.Duration
	// Stall is how long a stream of a Diff or an ApplyDiff may stand still; 0 is DefaultStall.
	Stall time.Duration
	// Retry is how long a plugin that can not be connected to is tried, with waits of 1, 2,
	// 4 and 8 seconds; 0 is DefaultRetry, negative is not at all.
	Retry time.Duration
	// Notice is how long an answer may take before the logger is told who is waited for; 0 is
	// DefaultNotice. Requests that may copy whole trees may take five times as long.
	Notice time.Duration
}

func (o ClientOptions) withDefaults() ClientOptions {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&o.Handshake, DefaultHandshake}, {&o.Notice, DefaultNotice}, {&o.Timeout, DefaultTimeout}, {&o.LongTimeout, DefaultLongTimeout}, {&o.Stall, DefaultStall}, {&o.Retry, DefaultRetry}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	return o
}

// client sends requests. It is safe for concurrent use.
type client struct {
	name string
	addr pluginsock.Address
	opts ClientOptions
	http *http.Client
	base string
	log  *slog.Logger
}

func newClient(name string, addr pluginsock.Address, opts ClientOptions, log *slog.Logger) (*client, error) {
	transport, scheme, err := addr.Transport()
	if err != nil {
		return nil, fmt.Errorf("storage driver plugin %s: %w", name, err)
	}
	transport.DisableCompression = true
	return &client{
		name: name, addr: addr, opts: opts.withDefaults(), base: scheme + "://" + host + "/",
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, log: log,
	}, nil
}

// fail gives an error the plugin's name, its address and the method.
func (c *client) fail(method string, err error) error {
	if err == nil {
		return nil
	}
	return &CallError{Plugin: c.name, Address: c.addr.String(), Method: strings.TrimPrefix(method, "GraphDriver."), Err: err}
}

// limit is how long a request may take.
func (c *client) limit(method string) time.Duration {
	switch {
	case method == activate || method == capabilities:
		return c.opts.Handshake
	case slow(method):
		return c.opts.LongTimeout
	}
	return c.opts.Timeout
}

// slow tells which requests may copy or compare whole trees.
func slow(method string) bool {
	switch method {
	case create, createReadWrite, remove, changes, diffSize, diff:
		return true
	}
	return false
}

// waiting tells the logger who is waited for when an answer takes long.
func (c *client) waiting(method string) (stop func()) {
	pause := c.opts.Notice
	if slow(method) {
		pause *= 5
	}
	whom := fmt.Sprintf("storage driver plugin %s at %s (%s)", c.name, c.addr, strings.TrimPrefix(method, "GraphDriver."))
	return pluginsock.Waiting(c.log, whom, pause)
}

// call sends a request and reads its answer.
func (c *client) call(ctx context.Context, method string, q request) (response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit(method), fmt.Errorf("no answer within %v", c.limit(method)))
	defer cancel()
	defer c.waiting(method)()
	answer, err := c.exchange(ctx, method, q)
	return answer, c.fail(method, err)
}

func (c *client) exchange(ctx context.Context, method string, q request) (response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return response{}, err
	}
	if method == activate {
		body = nil
	}
	reply, err := c.connect(ctx, func() (*http.Response, error) {
		return c.post(ctx, method, bytes.NewReader(body))
	})
	if err != nil {
		return response{}, err
	}
	defer reply.Body.Close()
	data, err := io.ReadAll(io.LimitReader(reply.Body, maxAnswer+1))
	if err != nil {
		return response{}, unavailable(ctx, err)
	}
	return decode(reply.StatusCode, data)
}

// post sends a request once.
func (c *client) post(ctx context.Context, target string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	r.GetBody = nil // or a request that was sent may be sent again
	return c.http.Do(r)
}

// connect tries a request again for as long as the plugin can not be connected to.
func (c *client) connect(ctx context.Context, send func() (*http.Response, error)) (reply *http.Response, err error) {
	err = pluginsock.Retry(ctx, c.opts.Retry, func() error {
		reply, err = send() //nolint:bodyclose // the caller's
		return err
	}, func(wait time.Duration, err error) {
		c.log.WarnContext(ctx, "storage driver plugin can not be reached and is tried again",
			"plugin", c.name, "socket", c.addr.String(), "wait", wait, "error", err)
	})
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	return reply, nil
}

// unavailable tells why a request has no answer: its caller does not want it any more, or the
// plugin is at fault.
func unavailable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) && !errors.Is(context.Cause(ctx), errStalled) {
		return ctx.Err()
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	var wrapped interface{ Unwrap() error }
	if text := err.Error(); strings.HasPrefix(text, "Post ") && errors.As(err, &wrapped) {
		err = wrapped.Unwrap() // the address is said already
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// decode reads an answer. Plugins put errors into a 200, or plain text beside another status.
func decode(code int, data []byte) (response, error) {
	if len(data) > maxAnswer {
		return response{}, fmt.Errorf("answer has more than %d bytes: %w", maxAnswer, errdefs.ErrLimit)
	}
	var answer response
	err := json.Unmarshal(data, &answer)
	switch {
	case code != http.StatusOK && (err != nil || answer.Err == ""):
		text := strings.TrimSpace(strings.ToValidUTF8(string(data[:min(len(data), 1<<10)]), "?"))
		if text == "" || err == nil {
			text = fmt.Sprintf("status %d %s", code, http.StatusText(code))
		}
		return response{}, &RemoteError{Status: code, Text: text}
	case err != nil:
		return response{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	case answer.Err != "":
		return response{}, &RemoteError{Status: code, Text: answer.Err, kinds: kindsOf(answer.Kinds)}
	}
	return answer, nil
}
