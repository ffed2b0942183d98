package plugin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

// fake is a driver whose Mount waits at a gate, if there is one.
type fake struct {
	mu      sync.Mutex
	volumes map[string]map[string]string
	gate    chan struct{}
	scope   volume.Scope
}

func newFake() *fake {
	return &fake{volumes: map[string]map[string]string{}, scope: volume.ScopeGlobal}
}

func (f *fake) Name() string { return "fake" }
func (f *fake) Create(_ context.Context, name string, o map[string]string) (volume.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := volume.CheckName(name); err != nil {
		return volume.Info{}, err
	}
	f.volumes[name] = o
	return volume.Info{Name: name}, nil
}
func (f *fake) Remove(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.volumes, name)
	return nil
}
func (f *fake) Get(_ context.Context, name string) (volume.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.volumes[name]; !ok {
		return volume.Info{}, volume.ErrNoSuchVolume
	}
	return volume.Info{Name: name, Mountpoint: "/fake/" + name, CreatedAt: time.Unix(1e9, 0).UTC()}, nil
}
func (f *fake) List(context.Context) ([]volume.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var infos []volume.Info
	for name := range f.volumes {
		infos = append(infos, volume.Info{Name: name})
	}
	return infos, nil
}
func (f *fake) Path(_ context.Context, name string) (string, error) { return "/fake/" + name, nil }
func (f *fake) Mount(_ context.Context, name, _ string) (string, error) {
	if f.gate != nil {
		f.gate <- struct{}{}
		f.gate <- struct{}{}
	}
	return "/fake/" + name, nil
}
func (f *fake) Unmount(ctx context.Context, _, _ string) error { return ctx.Err() }
func (f *fake) Scope(context.Context) volume.Scope             { return f.scope }

// remote serves a handler on a socket below dir called name.
func remote(t *testing.T, dir, name string, h http.Handler) (stop func()) {
	t.Helper()
	l, err := Listen(t.Context(), filepath.Join(dir, name+".sock"))
	must(t, err)
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	stop = func() { _ = server.Close() }
	t.Cleanup(stop)
	return stop
}

func client(t *testing.T, dir, name string, opts ClientOptions) *Client {
	t.Helper()
	addr, err := (Path{Sockets: []string{dir}}).Find(name)
	must(t, err)
	c, err := NewClient(name, addr, opts)
	must(t, err)
	return c
}

func TestClientAgainstServer(t *testing.T) {
	dir, d := t.TempDir(), newFake()
	remote(t, dir, "fake", Handler(d, ServerOptions{}))
	c, ctx := client(t, dir, "fake", ClientOptions{}), t.Context()
	info, err := c.Create(ctx, "v", map[string]string{"o": "1"})
	must(t, err)
	if diff := cmp.Diff(volume.Info{Name: "v", Mountpoint: "/fake/v", CreatedAt: time.Unix(1e9, 0).UTC()}, info); diff != "" {
		t.Error(diff)
	}
	if d.volumes["v"]["o"] != "1" {
		t.Error("options are lost")
	}
	path, err := c.Mount(ctx, "v", "A")
	must(t, err, c.Unmount(ctx, "v", "A"))
	if again, err := c.Path(ctx, "v"); path != "/fake/v" || again != path || err != nil {
		t.Errorf("%s %s %v", path, again, err)
	}
	if infos, err := c.List(ctx); len(infos) != 1 || err != nil {
		t.Errorf("%v, %v", infos, err)
	}
	if c.Scope(ctx) != volume.ScopeGlobal {
		t.Error("scope is lost")
	}
	must(t, c.Remove(ctx, "v"))
	var remote *RemoteError
	if _, err := c.Get(ctx, "v"); !errors.As(err, &remote) || err.Error() != "VolumeDriver.Get: no such volume" {
		t.Error(err)
	}
}

// answers is a plugin that answers whatever a test says.
type answers map[string]struct {
	status int
	body   string
}

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := a[r.URL.Path[1:]]
	if r.URL.Path == "/Plugin.Activate" && !ok {
		answer.status, answer.body = 200, `{"Implements":["NetworkDriver","VolumeDriver"]}`
	} else if !ok {
		answer.status, answer.body = 404, "404 page not found"
	}
	w.WriteHeader(answer.status)
	_, _ = io.WriteString(w, answer.body)
}

func TestOddAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		text   string // of the error, "" for none
	}{
		{"error in a 200", 200, `{"Err":"no"}`, "VolumeDriver.Mount: no"},
		{"error with a 500", 500, `{"Err":"no"}`, "VolumeDriver.Mount: no"},
		{"plain text", 502, "bad gateway\n", "VolumeDriver.Mount: bad gateway"},
		{"nothing", 500, "", "VolumeDriver.Mount: status Internal Server Error"},
		{"object without an error", 500, "{}", "VolumeDriver.Mount: status Internal Server Error"},
		{"no JSON", 200, "hello", "VolumeDriver.Mount: answer is no JSON object: invalid character 'h' looking for beginning of value"},
		{"empty error", 200, `{"Mountpoint":"/x","Err":""}`, ""},
		{"more members", 200, `{"Mountpoint":"/x","New":[1]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			remote(t, dir, "odd", answers{mount: {c.status, c.body}})
			path, err := client(t, dir, "odd", ClientOptions{}).Mount(t.Context(), "v", "A")
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != c.text || err == nil && path != "/x" {
				t.Errorf("%q %v, want %q", path, err, c.text)
			}
		})
	}
}

func TestScopeRules(t *testing.T) {
	for body, want := range map[string]volume.Scope{
		`{"Capabilities":{"Scope":"GLOBAL"}}`: volume.ScopeGlobal, `{"Capabilities":{"Scope":""}}`: volume.ScopeLocal,
		`{"Capabilities":{"Scope":"volume"}}`: volume.ScopeLocal, `{}`: volume.ScopeLocal, `nonsense`: volume.ScopeLocal,
	} {
		dir := t.TempDir()
		var asked atomic.Int32
		plugin := answers{capabilities: {200, body}}
		remote(t, dir, "p", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/"+capabilities {
				asked.Add(1)
			}
			plugin.ServeHTTP(w, r)
		}))
		c := client(t, dir, "p", ClientOptions{})
		for range 2 {
			if got := c.Scope(t.Context()); got != want {
				t.Errorf("%s: %s", body, got)
			}
		}
		if asked.Load() != 1 {
			t.Errorf("%s: asked %d times", body, asked.Load())
		}
	}
	dir := t.TempDir()
	remote(t, dir, "p", answers{})
	c := client(t, dir, "p", ClientOptions{})
	if got := c.Scope(t.Context()); got != volume.ScopeLocal {
		t.Error(got)
	}
	if _, err := c.Get(t.Context(), "v"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Errorf("404 of Get: %v", err)
	}
}

func TestDeadAndSlowPlugins(t *testing.T) {
	dir := t.TempDir()
	stop := remote(t, dir, "dead", answers{})
	dead := client(t, dir, "dead", ClientOptions{Retry: -1})
	stop()
	start := time.Now()
	if _, err := dead.Get(t.Context(), "v"); !errors.Is(err, volume.ErrUnavailable) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	dead.opts.Retry = time.Hour
	if _, err := dead.Get(ctx, "v"); !errors.Is(err, volume.ErrUnavailable) {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Minute {
		t.Errorf("took %s", took)
	}
	// One that comes back within the time is found, by a second try.
	go func() {
		time.Sleep(300 * time.Millisecond)
		remote(t, dir, "dead", answers{get: {200, `{"Volume":{"Name":"v"}}`}})
	}()
	dead.opts.Retry = 5 * time.Minute
	if _, err := dead.Get(t.Context(), "v"); err != nil {
		t.Error(err)
	}

	var requests atomic.Int32
	remote(t, dir, "slow", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/Plugin.Activate" {
			_, _ = io.WriteString(w, `{"Implements":["VolumeDriver"]}`)
			return
		}
		requests.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/"+mount {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close() // dies in the middle of the request
			return
		}
		<-r.Context().Done()
	}))
	slow := client(t, dir, "slow", ClientOptions{Timeout: 4 * time.Second}) // enough for a request to get there
	if _, err := slow.Get(t.Context(), "v"); !errors.Is(err, volume.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := slow.Mount(t.Context(), "v", "A"); !errors.Is(err, volume.ErrUnavailable) || requests.Load() != 2 {
		t.Errorf("a request that was sent is sent again: %v, %d requests", err, requests.Load())
	}
}

func TestDiscovery(t *testing.T) {
	dir := t.TempDir()
	p := Path{Sockets: []string{dir + "/run"}, Specs: []string{dir + "/etc", dir + "/usr"}}
	must(t, os.MkdirAll(dir+"/run/nested", 0o755), os.MkdirAll(dir+"/etc/inner", 0o755), os.MkdirAll(dir+"/usr", 0o755))
	for _, name := range []string{"plain", "nested/nested"} {
		l, err := net.Listen("unix", dir+"/run/"+name+".sock")
		must(t, err)
		defer l.Close()
	}
	must(t, os.WriteFile(dir+"/etc/plain.spec", []byte("unix:///hidden\n"), 0o644), os.WriteFile(dir+"/etc/spec.spec", []byte("tcp://localhost:1\n"), 0o644),
		os.WriteFile(dir+"/etc/inner/inner.json", []byte(`{"Name":"inner","Addr":"https://h:2","TLSConfig":{"InsecureSkipVerify":true,"CAFile":"/ca"}}`), 0o644),
		os.WriteFile(dir+"/usr/spec.json", []byte(`{"Addr":"tcp://later"}`), 0o644), os.WriteFile(dir+"/usr/bad.json", []byte(`{`), 0o644))
	for name, want := range map[string]Address{
		"plain": {Addr: "unix://" + dir + "/run/plain.sock"}, "nested": {Addr: "unix://" + dir + "/run/nested/nested.sock"},
		"spec": {Addr: "tcp://localhost:1"}, "inner": {Addr: "https://h:2", TLS: &TLS{InsecureSkipVerify: true, CAFile: "/ca"}},
	} {
		got, err := p.Find(name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for _, name := range []string{"none", "../run/plain", "", "x/y"} {
		if _, err := p.Find(name); !errors.Is(err, volume.ErrNoSuchDriver) {
			t.Errorf("%q: %v", name, err)
		}
	}
	names, err := p.Names()
	if diff := cmp.Diff([]string{"inner", "nested", "plain", "spec"}, names); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for _, addr := range []string{"", "unix://", "ftp://x", "/run/x"} {
		if _, err := NewClient("x", Address{Addr: addr}, ClientOptions{}); err == nil {
			t.Errorf("%q is accepted", addr)
		}
	}
}

// A store over a plugin: volumes, labels and names survive the plugin's absence.
func TestStoreOverAPlugin(t *testing.T) {
	testutil.RequireRoot(t)
	ctx := t.Context()
	socket, base, stop := serveOntop(t)
	p := Path{Sockets: []string{filepath.Dir(socket)}}
	db := filepath.Join(t.TempDir(), "metadata.db")
	open := func() *volume.Store {
		s, err := volume.Open(ctx, volume.Options{Path: db, Drivers: volume.NewRegistry(p.Registry(ClientOptions{Retry: -1}))})
		must(t, err)
		return s
	}
	s := open()
	made, err := s.Create(ctx, "v", volume.CreateOptions{Driver: "strata-ontop", Options: map[string]string{"base": base}, Labels: map[string]string{"k": "v"}})
	must(t, err)
	if made.Existed || made.Driver != "strata-ontop" {
		t.Errorf("%+v", made)
	}
	path, err := s.Mount(ctx, "v", volume.Holder{ID: "A"})
	must(t, err)
	if data, err := os.ReadFile(path + "/file"); string(data) != "base" {
		t.Errorf("%q, %v", data, err)
	}
	if err := s.Remove(ctx, "v", volume.RemoveOptions{Force: true}); !errors.Is(err, volume.ErrInUse) {
		t.Error(err)
	}
	must(t, s.Unmount(ctx, "v", "A"), stop(), s.Close())
	s = open()
	found, err := s.Find(ctx, volume.ByLabel("k"))
	if err != nil || len(found.Volumes) != 1 || len(found.Warnings) != 1 {
		t.Errorf("with the plugin away: %+v, %v", found, err)
	}
	var failed *volume.Error
	if err := s.Remove(ctx, "v", volume.RemoveOptions{Force: true}); !errors.As(err, &failed) || !failed.Forgotten {
		t.Errorf("forced removal: %v", err)
	}
	must(t, s.Close())
}

func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`{"Volumes":[{"Name":"v"}],"Err":""}`))
	f.Add(500, []byte("text"))
	f.Fuzz(func(t *testing.T, status int, data []byte) {
		answer, err := decode(list, status, data)
		if err == nil && (status != 200 || answer.Err != "") {
			t.Error("an error is success")
		}
		if answer.Volume != nil {
			answer.Volume.toInfo()
		}
	})
}
