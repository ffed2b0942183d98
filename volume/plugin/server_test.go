package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume/ontop"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// serveOntop serves an ontop driver on a socket and returns the socket, a base and how to
// stop it.
func serveOntop(t *testing.T) (socket, base string, stop func() error) {
	t.Helper()
	dir := t.TempDir()
	base = filepath.Join(dir, "base")
	must(t, os.Mkdir(base, 0o755), os.WriteFile(base+"/file", []byte("base"), 0o644))
	d, err := ontop.New(t.Context(), ontop.Options{Root: filepath.Join(dir, "state")})
	must(t, err)
	socket = filepath.Join(dir, "plugins", "strata-ontop.sock")
	l, err := Listen(t.Context(), socket)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, d, ServerOptions{}) }()
	stop = func() error {
		cancel()
		return errors.Join(<-served, d.Close())
	}
	return socket, base, stop
}

// post sends a raw request to a socket.
func post(t *testing.T, socket, method, path, body string) (status int, answer string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://plugin"+path, strings.NewReader(body))
	must(t, err)
	reply, err := client.Do(r)
	must(t, err)
	defer reply.Body.Close()
	if got := reply.Header.Get("Content-Type"); got != contentType {
		t.Errorf("%s: content type %q", path, got)
	}
	data, err := io.ReadAll(reply.Body)
	must(t, err)
	return reply.StatusCode, strings.TrimSpace(string(data))
}

func TestRawProtocol(t *testing.T) {
	testutil.RequireRoot(t)
	socket, base, stop := serveOntop(t)
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		path, body string
		status     int
		answer     string // exact, or a part after "~"
	}{
		{"/Plugin.Activate", "", 200, `{"Implements":["VolumeDriver"]}`},
		{"/VolumeDriver.Capabilities", "", 200, `{"Capabilities":{"Scope":"local"}}`},
		{"/VolumeDriver.Capabilities", "{}", 200, `{"Capabilities":{"Scope":"local"}}`},
		{"/VolumeDriver.List", "", 200, `{"Volumes":[]}`},
		{"/VolumeDriver.Create", `{"Name":"v","Opts":{"base":"` + base + `"}}`, 200, `{}`},
		{"/VolumeDriver.Create", `{"Name":"v","Opts":{"base":"` + base + `"}}`, 500, `{"Err":"volume already exists"}`},
		{"/VolumeDriver.Create", `{"Name":"w","Opts":null}`, 500, `~must be given`},
		{"/VolumeDriver.Create", `{"Name":"w"}`, 500, `~must be given`},
		{"/VolumeDriver.Create", `{"Name":"w","Opts":{"base":"relative"}}`, 500, "{\"Err\":\"`base` must be an absolute path\"}"},
		{"/VolumeDriver.Create", `{"Name":"a/b","Opts":{"base":"/"}}`, 500, `~cannot contain slashes`},
		{"/VolumeDriver.Get", `{"Name":"v"}`, 200, `~"Status":{"base":"` + base + `","mounted":false,"upper_bytes":0,"users":0,"volatile":false}`},
		{"/VolumeDriver.Get", `{"Name":"none"}`, 500, `{"Err":"no such volume"}`},
		{"/VolumeDriver.Path", `{"Name":"v"}`, 200, `{"Mountpoint":""}`},
		{"/VolumeDriver.List", "{}", 200, `~{"Volumes":[{"Name":"v","Mountpoint":"","CreatedAt":"20`},
		{"/VolumeDriver.Mount", `{"Name":"v","ID":"A"}`, 200, `~/state/v/mountpoint"}`},
		{"/VolumeDriver.Path", `{"Name":"v"}`, 200, `~/state/v/mountpoint"}`},
		{"/VolumeDriver.Mount", `{"Name":"v","ID":"../A"}`, 500, `~invalid mount ID`},
		{"/VolumeDriver.Unmount", `{"Name":"v","ID":""}`, 500, `~invalid mount ID`},
		{"/VolumeDriver.Remove", `{"Name":"v"}`, 500, `~volume is in use`},
		{"/VolumeDriver.Unmount", `{"Name":"v","ID":"A"}`, 200, `{}`},
		{"/VolumeDriver.Remove", ``, 500, `~illegal characters`},
		{"/VolumeDriver.Remove", `{"Name":".."}`, 500, `~illegal characters`},
		{"/VolumeDriver.Remove", `{"Name":"` + long + `"}`, 500, `~illegal characters`},
		{"/VolumeDriver.Remove", `{"Name":"v"}`, 200, `{}`},
		{"/VolumeDriver.Get", `{"Name":`, 400, `~"Err":"VolumeDriver.Get: request can not be read`},
		{"/VolumeDriver.Get", `[]`, 400, `~"Err"`},
		{"/VolumeDriver.Get", `{} {}`, 400, `~"Err"`},
		{"/VolumeDriver.Get", `null`, 500, `~illegal characters`},
		{"/VolumeDriver.Nonsense", `{}`, 404, `~unknown method`},
		{"/", ``, 404, `~unknown method`},
		{"/VolumeDriver.List", strings.Repeat(" ", DefaultMaxBody+1), 413, `~more than`},
	} {
		status, answer := post(t, socket, http.MethodPost, c.path, c.body)
		part, partly := strings.CutPrefix(c.answer, "~")
		right := answer == c.answer || partly && strings.Contains(answer, part)
		if status != c.status || !right {
			t.Errorf("%s %.80s: %d %s, want %d %s", c.path, c.body, status, answer, c.status, c.answer)
		}
	}
	if status, _ := post(t, socket, http.MethodGet, "/VolumeDriver.List", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("GET gives %d", status)
	}
	must(t, stop())
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Error("the socket is left")
	}
}

func TestServeWaitsForRunningRequests(t *testing.T) {
	d := newFake()
	d.gate = make(chan struct{})
	socket := filepath.Join(t.TempDir(), "x.sock")
	l, err := Listen(t.Context(), socket)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, d, ServerOptions{}) }()
	answered := make(chan string, 1)
	go func() {
		_, answer := post(t, socket, http.MethodPost, "/VolumeDriver.Mount", `{"Name":"v","ID":"A"}`)
		answered <- answer
	}()
	<-d.gate // the request is running
	cancel()
	select {
	case err := <-served:
		t.Fatalf("Serve ended under a running request: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	<-d.gate
	if diff := cmp.Diff(`{"Mountpoint":"/fake/v"}`, <-answered); diff != "" {
		t.Error(diff)
	}
	must(t, <-served)
}

// A client that gives up does not stop an Unmount: it will not ask again.
func TestUnmountOfAClientThatIsGone(t *testing.T) {
	d := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/VolumeDriver.Unmount", strings.NewReader(`{"Name":"v","ID":"A"}`))
	w := httptest.NewRecorder()
	Handler(d, ServerOptions{}).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzRequests(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"Name":"v","Opts":{"a":"b"}}`, `{"Name":1}`, `null`, `[`} {
		f.Add("/VolumeDriver.Create", seed)
		f.Add("/VolumeDriver.Get", seed)
	}
	h := Handler(newFake(), ServerOptions{MaxBody: 1 << 10})
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.URL.Path = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var answer map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("answer %q is no object", w.Body)
		}
		if text, _ := answer["Err"].(string); (w.Code == http.StatusOK) != (text == "") {
			t.Errorf("status %d with %q", w.Code, text)
		}
	})
}
