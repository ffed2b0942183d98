package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/pluginsock"
)

// Defaults of ServerOptions.
const (
	DefaultMaxBody = 1 << 20
	DefaultDrain   = 30 * time.Second
	DefaultRunRoot = "/run/strata-driver"
)

// ServerOptions tune a Server.
type ServerOptions struct {
	// Driver is the name whose options may stand in Options and in those that Init brings:
	// "vfs.sync=none", ".sync=none" and "sync=none".
	Driver string
	// Home is the one folder that layers are kept in, absolute; "" leaves it to Init.
	Home string
	// RunRoot is for what may vanish with a reboot, when Init does not tell or there is a Home;
	// "" is DefaultRunRoot.
	RunRoot string
	// Options are options of the driver; those of Init come after them.
	Options []string
	// MaxBody is the longest request other than the tar of ApplyDiff, in bytes; 0 is
	// DefaultMaxBody. What a tar may make is limited by the driver (archive.Limits).
	MaxBody int64
	// Drain is how long Serve waits for running requests when it ends; 0 is DefaultDrain.
	Drain time.Duration
	// Logger gets one line for each request, and the driver's warnings; nil: nothing is logged.
	Logger *slog.Logger
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.RunRoot == "" {
		o.RunRoot = DefaultRunRoot
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server answers the protocol's requests with a driver, which the first Init opens. It is safe
// for concurrent use. Who can send requests can make files anywhere: the socket is for root.
type Server struct {
	opts    ServerOptions
	session *session
	streams streams
}

// NewServer returns a server of the driver that init opens. With a Home that is not absolute
// it is an ErrInvalid.
func NewServer(init graphdriver.Init, opts ServerOptions) (*Server, error) {
	if opts.Home != "" {
		if !filepath.IsAbs(opts.Home) {
			return nil, fmt.Errorf("home %q is not an absolute path: %w", opts.Home, errdefs.ErrInvalid)
		}
		opts.Home = filepath.Clean(opts.Home)
	}
	return &Server{opts: opts.withDefaults(), session: &session{open: init}}, nil
}

// Init opens the driver in the server's own home, ahead of the first client: what does not
// work is known at the start, and clients of a server before it need not send Init again.
func (s *Server) Init(ctx context.Context) error {
	cfg, mapping, err := s.opts.config(request{Home: s.opts.Home})
	if err != nil {
		return err
	}
	return s.session.start(ctx, cfg, mapping)
}

// ServeHTTP answers one request. An error of the driver is status 500, a request that can not be
// read 400, an unknown method 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	method := strings.TrimPrefix(r.URL.Path, "/")
	q, answer, err := s.serve(w, r, method)
	switch {
	case errors.Is(err, errSent):
	case err != nil:
		s.write(w, pluginsock.StatusOf(err), response{Err: err.Error(), Kinds: kindNames(err)})
	case method != diff:
		s.write(w, http.StatusOK, answer)
	}
	result := "ok"
	if err != nil {
		result = err.Error()
	}
	s.opts.Logger.InfoContext(r.Context(), "storage driver request", "method", method, "layer", q.ID, "parent", q.Parent,
		"duration", time.Since(start), "result", result)
	if errors.Is(err, errSent) {
		panic(http.ErrAbortHandler) // ends the connection: the client must not take it for the stream's end
	}
}

// serve does what a request asks for.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, method string) (q request, answer response, err error) {
	if q, err = s.read(w, r, method); err != nil {
		return q, response{}, err
	}
	switch method {
	case activate:
		return q, response{Implements: []string{implements}}, nil
	case initialize:
		return q, response{}, s.start(r.Context(), q)
	case cleanup:
		return q, response{}, s.session.end(context.WithoutCancel(r.Context()))
	case endStream:
		s.streams.end(r.Context(), q.stream())
		return q, response{}, nil
	}
	d, standard, release, err := s.session.use(r.Context())
	if err != nil {
		return q, response{}, err
	}
	defer release()
	j := newJob(d, standard, q)
	switch method {
	case diff:
		return q, response{}, s.sendDiff(r.Context(), w, j)
	case applyDiff:
		answer, err = s.receive(r.Context(), r.Body, j)
		return q, answer, err
	}
	answer, err = methods[method](r.Context(), j)
	return q, answer, err
}

func (s *Server) start(ctx context.Context, q request) error {
	cfg, mapping, err := s.opts.config(q)
	if err != nil {
		return err
	}
	return s.session.start(ctx, cfg, mapping)
}

func known(method string) bool {
	switch method {
	case activate, initialize, cleanup, endStream, diff, applyDiff:
		return true
	}
	return methods[method] != nil
}

// read parses a request.
func (s *Server) read(w http.ResponseWriter, r *http.Request, method string) (q request, err error) {
	if !known(method) {
		return q, pluginsock.Refuse(http.StatusNotFound, "unknown method %q", method)
	}
	if err := pluginsock.RequirePost(w, r, method); err != nil {
		return q, err
	}
	if method == applyDiff {
		return readQuery(r)
	}
	err = pluginsock.ReadBody(w, r, method, s.opts.MaxBody, &q)
	return q, err
}

// readQuery parses the request of ApplyDiff, whose body is the tar.
func readQuery(r *http.Request) (q request, err error) {
	query := r.URL.Query()
	q.ID, q.Parent = query.Get(queryID), query.Get(queryParent)
	if text := query.Get(queryExtra); text != "" {
		if err := json.Unmarshal([]byte(text), &q.Strata); err != nil {
			return request{}, pluginsock.Refuse(http.StatusBadRequest, "%s: query can not be read: %w", applyDiff, err)
		}
	}
	return q, nil
}

func (s *Server) write(w http.ResponseWriter, status int, answer response) {
	if err := pluginsock.WriteAnswer(w, status, contentType, answer); err != nil {
		s.opts.Logger.Error("storage driver answer can not be encoded", "error", err)
	}
}

// Serve answers requests on l until ctx ends, then waits for those that are running, for
// ServerOptions.Drain at most, and cleans the driver up. It closes l. What is mounted stays mounted.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	err := pluginsock.Serve(ctx, l, s, s.opts.Drain, s.opts.Logger)
	if err = errors.Join(err, s.session.end(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("serve storage driver: %w", err)
	}
	return nil
}
