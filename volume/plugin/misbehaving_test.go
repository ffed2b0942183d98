package plugin

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratastore/strata/volume"
)

// TestMountWithoutAPath: a plugin that mounts nowhere has failed.
func TestMountWithoutAPath(t *testing.T) {
	for _, answer := range []string{`{}`, `{"Mountpoint":""}`, `{"Mountpoint":"a/b"}`} {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := answer
			if r.URL.Path == "/"+activate {
				text = `{"Implements":["VolumeDriver"]}`
			}
			_, _ = io.WriteString(w, text)
		})}
		go func() { _ = server.Serve(l) }()
		c, err := NewClient("p", Address{Addr: "unix://" + socket}, ClientOptions{Retry: -1})
		if err != nil {
			t.Fatal(err)
		}
		path, err := c.Mount(t.Context(), "v", "id")
		var remote *RemoteError
		if !errors.As(err, &remote) || path != "" {
			t.Errorf("%s: %q, %v", answer, path, err)
		}
		_ = server.Close()
	}
}

// TestOpenNamesTheTime: a plugin that does not answer about a volume is said to have had its time.
func TestOpenNamesTheTime(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	var hangs atomic.Bool
	remote(t, dir, "slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+get && hangs.Load() {
			<-r.Context().Done()
			return
		}
		answers{create: {200, "{}"}, get: {200, `{"Volume":{"Name":"v"}}`}}.ServeHTTP(w, r)
	}))
	var log bytes.Buffer
	opts := volume.Options{
		Path: filepath.Join(dir, "metadata.db"), DriverTimeout: 100 * time.Millisecond,
		Drivers: volume.NewRegistry(Path{Sockets: []string{dir}}.Registry(ClientOptions{})), Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	s, err := volume.Open(ctx, opts)
	must(t, err)
	_, err = s.Create(ctx, "v", volume.CreateOptions{Driver: "slow"})
	must(t, err, s.Close())
	hangs.Store(true)
	s, err = volume.Open(ctx, opts)
	must(t, err, s.Close())
	if !strings.Contains(log.String(), "no answer within 100ms") {
		t.Errorf("log:\n%s", log.String())
	}
}
