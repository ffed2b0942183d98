package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/stratastore/strata/internal/pluginsock"
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
	q, err := h.read(w, r, name)
	var answer response
	if err == nil {
		answer, err = methods[name](r.Context(), h.driver, q)
	}
	status, result := pluginsock.StatusOf(err), "ok"
	if err != nil {
		answer, result = response{Err: err.Error()}, err.Error()
	}
	if err := pluginsock.WriteAnswer(w, status, contentType, answer); err != nil { // a driver's Status may hold anything
		h.opts.Logger.Error("volume plugin answer can not be encoded", "error", err)
	}
	h.opts.Logger.Info("volume plugin request", "method", name, "volume", q.Name, "id", q.ID,
		"duration", time.Since(start), "status", status, "result", result)
}

// read parses a request.
func (h *handler) read(w http.ResponseWriter, r *http.Request, name string) (q request, err error) {
	if methods[name] == nil {
		return q, pluginsock.Refuse(http.StatusNotFound, "unknown method %q", name)
	}
	if err := pluginsock.RequirePost(w, r, name); err != nil {
		return q, err
	}
	err = pluginsock.ReadBody(w, r, name, h.opts.MaxBody, &q)
	return q, err
}

// Serve answers requests on l until ctx ends, then waits for those that are running, for
// ServerOptions.Drain at most. It closes l. What is mounted stays mounted.
func Serve(ctx context.Context, l net.Listener, d volume.Driver, opts ServerOptions) error {
	opts = opts.withDefaults()
	if err := pluginsock.Serve(ctx, l, Handler(d, opts), opts.Drain, opts.Logger); err != nil {
		return fmt.Errorf("serve volume plugin: %w", err)
	}
	return nil
}
