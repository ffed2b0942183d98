package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stratastore/strata/volume"
)

// Defaults of ServerOptions.
const (
	DefaultMaxBody = 1 << 20
	DefaultDrain   = 30 * time.Second
)

// ServerOptions tune Handler and Serve.
type ServerOptions struct {
	// MaxBody is the longest request, in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Drain is how long Serve waits for running requests when it ends; 0 is DefaultDrain.
	Drain time.Duration
	// Logger gets one line for each request; nil: nothing is logged.
	Logger *slog.Logger
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// patience is how long what must be finished may take after its client is gone.
const patience = time.Minute

// method answers one method's requests.
type method func(ctx context.Context, d volume.Driver, q request) (response, error)

var methods = map[string]method{
	activate: func(context.Context, volume.Driver, request) (response, error) {
		return response{Implements: []string{implements}}, nil
	},
	create: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		_, err := d.Create(ctx, q.Name, q.Opts)
		return response{}, err
	},
	remove: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		return response{}, d.Remove(ctx, q.Name)
	},
	mount: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		path, err := d.Mount(ctx, q.Name, q.ID)
		return response{Mountpoint: &path}, err
	},
	// A client that does not wait for the end of an Unmount will not ask again.
	unmount: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return response{}, d.Unmount(ctx, q.Name, q.ID)
	},
	path: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		path, err := d.Path(ctx, q.Name)
		return response{Mountpoint: &path}, err
	},
	get: func(ctx context.Context, d volume.Driver, q request) (response, error) {
		info, err := d.Get(ctx, q.Name)
		v := toRemote(info)
		return response{Volume: &v}, err
	},
	list: func(ctx context.Context, d volume.Driver, _ request) (response, error) {
		infos, err := d.List(ctx)
		volumes := make([]remoteVolume, 0, len(infos))
		for _, info := range infos {
			volumes = append(volumes, toRemote(info))
		}
		return response{Volumes: volumes}, err
	},
	capabilities: func(ctx context.Context, d volume.Driver, _ request) (response, error) {
		return response{Capabilities: &capability{Scope: string(d.Scope(ctx))}}, nil
	},
}

// Handler answers the protocol's requests with a driver. An error of the driver is status
// 500 (podman looks at nothing else), a request that can not be read 400, an unknown
// method 404.
func Handler(d volume.Driver, opts ServerOptions) http.Handler {
	return &handler{driver: d, opts: opts.withDefaults()}
}

type handler struct {
	driver volume.Driver
	opts   ServerOptions
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	name := strings.TrimPrefix(r.URL.Path, "/")
	q, status, err := h.read(w, r, name)
	var answer response
	if err == nil {
		status = http.StatusOK
		if answer, err = methods[name](r.Context(), h.driver, q); err != nil {
			status = http.StatusInternalServerError
		}
	}
	result := "ok"
	if err != nil {
		answer, result = response{Err: err.Error()}, err.Error()
	}
	h.write(w, status, answer)
	h.opts.Logger.Info("volume plugin request", "method", name, "volume", q.Name, "id", q.ID,
		"duration", time.Since(start), "status", status, "result", result)
}

// read parses a request; status is that of a refusal.
func (h *handler) read(w http.ResponseWriter, r *http.Request, name string) (q request, status int, err error) {
	if methods[name] == nil {
		return q, http.StatusNotFound, fmt.Errorf("unknown method %q", name)
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return q, http.StatusMethodNotAllowed, fmt.Errorf("%s: requests are sent by POST", name)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return q, http.StatusRequestEntityTooLarge, fmt.Errorf("%s: request has more than %d bytes", name, h.opts.MaxBody)
	}
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		return q, http.StatusBadRequest, fmt.Errorf("%s: request can not be read: %w", name, err)
	}
	return q, 0, nil
}

func (h *handler) write(w http.ResponseWriter, status int, answer response) {
	body, err := json.Marshal(answer)
	if err != nil { // a driver's Status may hold anything
		status, body = http.StatusInternalServerError, []byte(`{"Err":"answer can not be encoded"}`)
		h.opts.Logger.Error("volume plugin answer can not be encoded", "error", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone reads no error either
}

// Serve answers requests on l until ctx ends, then waits for those that are running, for
// ServerOptions.Drain at most. It closes l. What is mounted stays mounted.
func Serve(ctx context.Context, l net.Listener, d volume.Driver, opts ServerOptions) error {
	opts = opts.withDefaults()
	server := &http.Server{
		Handler: Handler(d, opts), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(opts.Logger.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve volume plugin: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), opts.Drain)
	defer cancel()
	err := server.Shutdown(drain)
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop volume plugin: %w", err)
	}
	return nil
}
