package plugin_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// handler is a server of vfs with one home, for requests by hand.
func handler(t testing.TB, opts plugin.ServerOptions) (*plugin.Server, string) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "graph", "p")
	opts.Driver, opts.RunRoot = vfs.Name, t.TempDir()
	s, err := plugin.NewServer(vfs.New, opts)
	must(t, err)
	return s, home
}

// hundred maps the first hundred users.
var hundred = idmap.Range{ContainerID: 0, HostID: 1000, Size: 100}

// owner is a file's, as "uid:gid".
func owner(t testing.TB, path string) string {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// headers are those of a tar.
func headers(t testing.TB, data []byte) (all []*tar.Header) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, h)
	}
}

// post sends a request and returns the status and the body.
func post(t testing.TB, h http.Handler, target, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestRequestsOfDocker sends what Docker's engine sends, byte for byte, and reads the answers
// as it does.
func TestRequestsOfDocker(t *testing.T) {
	testutil.RequireRoot(t)
	s, home := handler(t, plugin.ServerOptions{})
	quoted := func(text string) string { return strings.ReplaceAll(text, "HOME", home) }
	tarOf := string(testutil.Tar(t, testutil.Entry{Name: "f", Body: "12345"}))
	for _, step := range []struct {
		name, target, body string
		status             int
		want               string // of JSON, or what it contains with "~" before it
	}{
		{"before Init", "/GraphDriver.Exists", `{"ID":"a"}`, 500, `~send GraphDriver.Init first`},
		{"handshake", "/Plugin.Activate", "", 200, `{"Implements":["GraphDriver"]}`},
		{"init without home", "/GraphDriver.Init", `{"Home":""}`, 500, `~absolute path`},
		{"init in the root", "/GraphDriver.Init", `{"Home":"/"}`, 500, `~absolute path`},
		{"init with an option of nobody", "/GraphDriver.Init", `{"Home":"HOME","Opts":["nosuch=1"]}`, 500, `~unknown option`},
		{"init", "/GraphDriver.Init", `{"Home":"HOME","Opts":["vfs.sync=none"],"UIDMaps":null,"GIDMaps":null}`, 200, `{}`},
		{"init again", "/GraphDriver.Init", `{"Home":"HOME","Opts":["vfs.sync=none"],"UIDMaps":null,"GIDMaps":null}`, 200, `{}`},
		{"capabilities", "/GraphDriver.Capabilities", `{}`, 200, `~"ReproducesExactDiffs":false`},
		{"create", "/GraphDriver.Create", `{"ID":"a"}`, 200, `{}`},
		{"create again", "/GraphDriver.Create", `{"ID":"a"}`, 500, `~already exists`},
		{"create on", "/GraphDriver.CreateReadWrite", `{"ID":"b","Parent":"a"}`, 200, `{}`},
		{"bad ID", "/GraphDriver.Create", `{"ID":"../a"}`, 500, `~invalid`},
		{"apply", "/GraphDriver.ApplyDiff?id=b&parent=a", tarOf, 200, `{"Size":5}`},
		{"apply a cut tar", "/GraphDriver.ApplyDiff?id=b&parent=a", tarOf[:514], 500, `~unexpected EOF`},
		{"exists", "/GraphDriver.Exists", `{"ID":"b"}`, 200, `{"Exists":true}`},
		{"exists not", "/GraphDriver.Exists", `{"ID":"c"}`, 200, `{}`},
		{"get", "/GraphDriver.Get", `{"ID":"b","MountLabel":""}`, 200, `{"Dir":"HOME/dir/b"}`},
		{"put", "/GraphDriver.Put", `{"ID":"b"}`, 200, `{}`},
		{"changes", "/GraphDriver.Changes", `{"ID":"b","Parent":"a"}`, 200, `{"Changes":[{"Path":"/f","Kind":1}]}`},
		{"size", "/GraphDriver.DiffSize", `{"ID":"b","Parent":"a"}`, 200, `{"Size":5}`},
		{"status", "/GraphDriver.Status", `{}`, 200, `{}`},
		{"metadata", "/GraphDriver.GetMetadata", `{"ID":"b"}`, 200, `{"Metadata":{"Dir":"HOME/dir/b"}}`},
		{"metadata of nobody", "/GraphDriver.GetMetadata", `{"ID":"c"}`, 500, `~not found`},
		{"diff of nobody", "/GraphDriver.Diff", `{"ID":"c","Parent":""}`, 500, `~not found`},
		{"cleanup", "/GraphDriver.Cleanup", `{}`, 200, `{}`},
		{"after cleanup", "/GraphDriver.Exists", `{"ID":"b"}`, 200, `{"Exists":true}`},
		{"remove", "/GraphDriver.Remove", `{"ID":"b"}`, 200, `{}`},
		{"remove nothing", "/GraphDriver.Remove", `{"ID":""}`, 500, `~empty`},
		{"unknown", "/GraphDriver.Nothing", `{}`, 404, `~unknown method`},
		{"no JSON", "/GraphDriver.Create", `[`, 400, `~can not be read`},
		{"wrong type", "/GraphDriver.Create", `{"ID":1}`, 400, `~can not be read`},
		{"bad query", "/GraphDriver.ApplyDiff?id=a&strata=x", "", 400, `~can not be read`},
		{"too long", "/GraphDriver.Create", `{"ID":"` + strings.Repeat("x", 2<<20) + `"}`, 413, `~more than`},
	} {
		status, body := post(t, s, step.target, quoted(step.body))
		var answer map[string]any
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Errorf("%s: %q is no object", step.name, body)
		}
		text, contains := strings.CutPrefix(quoted(step.want), "~")
		if status != step.status || !contains && strings.TrimSpace(body) != text || contains && !strings.Contains(body, text) {
			t.Errorf("%s: %d %s, want %d %s", step.name, status, body, step.status, step.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/GraphDriver.Status", nil)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET gives %d", w.Code)
	}
}

// TestOneHome: a server with a home of its own takes no other.
func TestOneHome(t *testing.T) {
	testutil.RequireRoot(t)
	home := filepath.Join(t.TempDir(), "graph", "p")
	s, err := plugin.NewServer(vfs.New, plugin.ServerOptions{Driver: vfs.Name, Home: home + "/"})
	must(t, err)
	must(t, s.Init(t.Context()))
	for body, want := range map[string]int{`{"Home":"/srv/x"}`: 500, `{"Home":"` + home + `"}`: 200, `{}`: 200, `{"Strata":{"ImageHome":"/srv/x"}}`: 500} {
		if status, answer := post(t, s, "/GraphDriver.Init", body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if _, err := plugin.NewServer(vfs.New, plugin.ServerOptions{Home: "relative"}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}

// TestMappingOfInit: an engine with mapped users names them once, in Init.
func TestMappingOfInit(t *testing.T) {
	testutil.RequireRoot(t)
	s, home := handler(t, plugin.ServerOptions{})
	maps := `"UIDMaps":[{"container_id":0,"host_id":1000,"size":100}],"GIDMaps":[{"container_id":0,"host_id":2000,"size":100}]`
	post(t, s, "/GraphDriver.Init", `{"Home":"`+home+`",`+maps+`}`)
	post(t, s, "/GraphDriver.Create", `{"ID":"a"}`)
	post(t, s, "/GraphDriver.ApplyDiff?id=a", string(testutil.Tar(t, testutil.Entry{Name: "f", UID: 5, GID: 6})))
	want := []string{"1000:2000", "1005:2006"}
	var got []string
	for _, path := range []string{"a", "a/f"} {
		got = append(got, owner(t, filepath.Join(home, "dir", path)))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	_, tarOf := post(t, s, "/GraphDriver.Diff", `{"ID":"a","Parent":""}`)
	if h := headers(t, []byte(tarOf)); len(h) == 0 || h[len(h)-1].Uid != 5 || h[len(h)-1].Gid != 6 {
		t.Errorf("owners in the diff: %v", h)
	}
}

// foreign is a plugin that speaks Docker's protocol and no more: errors are texts, owners of
// layers and mount options unknown.
func foreign(t testing.TB) graphdriver.Driver {
	t.Helper()
	s, home := handler(t, plugin.ServerOptions{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "Capabilities") {
			http.NotFound(w, r)
			return
		}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			var answer struct{ Err string }
			_ = json.Unmarshal(rec.Body.Bytes(), &answer)
			http.Error(w, answer.Err, rec.Code)
			return
		}
		_, _ = w.Write(rec.Body.Bytes())
	})
	return dial(t, h, home)
}

// dial opens a client of a handler, over a real socket.
func dial(t testing.TB, h http.Handler, home string) graphdriver.Driver {
	t.Helper()
	d, err := plugin.New("p", listen(t, h), quick())(t.Context(), graphdriver.Config{Home: home, Sync: graphdriver.SyncNone})
	must(t, err)
	return d
}

func listen(t testing.TB, h http.Handler) plugin.Address {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") //nolint:usetesting // the path of a socket has to be short
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	socket := filepath.Join(dir, "p.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return plugin.Address{Addr: "unix://" + socket}
}

// TestForeignPlugin: kinds of errors are found out, and what the plugin can not be told is refused.
func TestForeignPlugin(t *testing.T) {
	testutil.RequireRoot(t)
	d := foreign(t)
	must(t, d.Create(t.Context(), "a", "", graphdriver.CreateOptions{Image: true}))
	size, err := d.ApplyDiff(t.Context(), "a", "", bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: "f", Body: "1"})), graphdriver.ApplyOptions{})
	if size != 1 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	changes, err := d.Changes(t.Context(), "a", "", graphdriver.DiffOptions{})
	if diff := cmp.Diff([]archive.Change{{Path: "/f", Kind: archive.Added}}, changes); err != nil || diff != "" {
		t.Error(err, diff)
	}
	m := graphdriver.CreateOptions{}.Mapping
	m.UIDs, m.GIDs = append(m.UIDs, hundred), append(m.GIDs, hundred)
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"create again", d.Create(t.Context(), "a", "", graphdriver.CreateOptions{}), errdefs.ErrExists},
		{"create on nobody", d.Create(t.Context(), "b", "nobody", graphdriver.CreateOptions{}), errdefs.ErrNotFound},
		{"create with owners", d.Create(t.Context(), "b", "", graphdriver.CreateOptions{Mapping: m}), errdefs.ErrUnsupported},
		{"get nobody", second(d.Get(t.Context(), "nobody", graphdriver.MountOptions{})), errdefs.ErrNotFound},
		{"get with options", second(d.Get(t.Context(), "a", graphdriver.MountOptions{Options: []string{"nodev"}})), errdefs.ErrUnsupported},
		{"get with ro", second(d.Get(t.Context(), "a", graphdriver.MountOptions{Options: []string{"ro"}, ReadOnly: true})), nil},
		{"put", d.Put(t.Context(), "a"), nil},
		{"metadata of nobody", second(d.Metadata(t.Context(), "nobody")), errdefs.ErrNotFound},
		{"diff of nobody", second(d.Diff(t.Context(), "nobody", "", graphdriver.DiffOptions{})), errdefs.ErrNotFound},
		{"diff against nobody", second(d.Diff(t.Context(), "a", "nobody", graphdriver.DiffOptions{})), errdefs.ErrNotFound},
		{"diff with owners", second(d.Diff(t.Context(), "a", "", graphdriver.DiffOptions{Mapping: m})), errdefs.ErrUnsupported},
		{"apply to nobody", second(d.ApplyDiff(t.Context(), "nobody", "", strings.NewReader(""), graphdriver.ApplyOptions{})), errdefs.ErrNotFound},
		{"apply with owners", second(d.ApplyDiff(t.Context(), "a", "", strings.NewReader(""), graphdriver.ApplyOptions{Mapping: m})), errdefs.ErrUnsupported},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
	r, err := d.Diff(t.Context(), "a", "", graphdriver.DiffOptions{})
	must(t, err)
	got, err := io.ReadAll(r)
	must(t, err, r.Close())
	if h := headers(t, got); len(h) != 1 || h[0].Name != "f" {
		t.Errorf("diff holds %v", h)
	}
}

func second[T any](_ T, err error) error { return err }

// TestTarThatCanNotBeRead: the error of the tar's own reader comes back, and the layer's lock is free.
func TestTarThatCanNotBeRead(t *testing.T) {
	testutil.RequireRoot(t)
	s, home := handler(t, plugin.ServerOptions{})
	d := dial(t, s, home)
	must(t, d.Create(t.Context(), "a", "", graphdriver.CreateOptions{}))
	broken := errors.New("digest differs")
	for _, n := range []int{0, 700, 100_000} {
		tarOf := io.MultiReader(bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: "f", Body: strings.Repeat("x", 200_000)})[:n]), iotest.ErrReader(broken))
		if _, err := d.ApplyDiff(t.Context(), "a", "", tarOf, graphdriver.ApplyOptions{}); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, d.Remove(ctx, "a"))
}

// checkAnswer sends one request and looks at the form of the answer.
func checkAnswer(t *testing.T, h http.Handler, method, query, body string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.URL.Path, r.URL.RawQuery = method, query
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Content-Type") == "application/x-tar" {
		return
	}
	var answer struct{ Err string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("answer %q is no object", w.Body)
	}
	if (w.Code == http.StatusOK) != (answer.Err == "") {
		t.Errorf("status %d with %q", w.Code, answer.Err)
	}
}
