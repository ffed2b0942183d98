package plugin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
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
