package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/internal/testutil"
)

// odd answers some methods by functions of its own, and the others like a plugin without layers.
type odd map[string]http.HandlerFunc

func (o odd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/GraphDriver."), "/Plugin.")
	if f := o[method]; f != nil {
		f(w, r)
		return
	}
	switch method {
	case "Activate":
		_, _ = io.WriteString(w, `{"Implements":["GraphDriver"]}`)
	default:
		_, _ = io.WriteString(w, `{}`)
	}
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// hang waits until the client is gone.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// dies ends the connection in the middle of its answer.
func dies(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"Dir":"/x`)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// patience is for what a machine that is busy answers all the same.
const patience = 5 * time.Minute

// TestOpenErrors: what goes wrong at opening names the plugin, the socket and the call.
func TestOpenErrors(t *testing.T) {
	dead := plugin.Address{Addr: "unix://" + filepath.Join(t.TempDir(), "none.sock")}
	for _, tt := range []struct {
		name    string
		handler odd
		call    string
		want    error
	}{
		{"nobody listens", nil, "Plugin.Activate", plugin.ErrUnavailable},
		{"a volume plugin", odd{"Activate": says(`{"Implements":["VolumeDriver"]}`)}, "Plugin.Activate", plugin.ErrNoGraphDriver},
		{"no JSON", odd{"Activate": says(`hello`)}, "Plugin.Activate", plugin.ErrAnswer},
		{"init fails", odd{"Init": says(`{"Err":"no disk"}`)}, "Init", nil},
		{"init hangs", odd{"Init": hang}, "Init", plugin.ErrUnavailable},
		{"init dies", odd{"Init": dies}, "Init", plugin.ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := dead
			if tt.handler != nil {
				addr = listen(t, tt.handler)
			}
			opts := plugin.ClientOptions{Handshake: patience, Timeout: patience, Retry: -1}
			if tt.name == "init hangs" {
				opts.Timeout = time.Second
			}
			_, err := plugin.New("nice", addr, opts)(t.Context(), graphdriver.Config{Home: t.TempDir()})
			var call *plugin.CallError
			if !errors.As(err, &call) || call.Plugin != "nice" || "unix://"+call.Address != addr.Addr || call.Method != tt.call {
				t.Fatalf("error %v (%+v)", err, call)
			}
			if tt.want != nil && !errors.Is(err, tt.want) || tt.name == "init fails" && !strings.HasSuffix(err.Error(), "Init: no disk") {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if hint := errdefs.Hint(err); errors.Is(err, plugin.ErrUnavailable) != (hint != "") {
				t.Errorf("hint %q of %v", hint, err)
			}
		})
	}
}

// TestRetry: a plugin that starts a moment later is waited for.
func TestRetry(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	socket := socketFor(dir)
	started := make(chan func() error)
	time.AfterFunc(300*time.Millisecond, func() { started <- serve(t, socket, vfs.New, plugin.ServerOptions{Driver: vfs.Name}) })
	_, err := plugin.New("p", plugin.Address{Addr: "unix://" + socket}, plugin.ClientOptions{Retry: patience})(t.Context(), graphdriver.Config{Home: filepath.Join(dir, "p")})
	must(t, err, (<-started)())
}

// calls asks for everything that waits for an answer, all at once.
func calls(ctx context.Context, d graphdriver.Driver) map[string]error {
	asks := map[string]func() error{
		"create":   func() error { return d.Create(ctx, "a", "", graphdriver.CreateOptions{}) },
		"remove":   func() error { return d.Remove(ctx, "b") },
		"put":      func() error { return d.Put(ctx, "c") },
		"get":      func() error { return second(d.Get(ctx, "d", graphdriver.MountOptions{})) },
		"exists":   func() error { return second(d.Exists(ctx, "e")) },
		"metadata": func() error { return second(d.Metadata(ctx, "f")) },
		"changes":  func() error { return second(d.Changes(ctx, "g", "", graphdriver.DiffOptions{})) },
		"size":     func() error { return second(d.DiffSize(ctx, "h", "", graphdriver.DiffOptions{})) },
		"diff":     func() error { return readDiff(ctx, d) },
		"apply": func() error {
			return second(d.ApplyDiff(ctx, "j", "", strings.NewReader("x"), graphdriver.ApplyOptions{}))
		},
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[string]error{}
	for what, ask := range asks {
		all.Go(func() {
			err := ask()
			mu.Lock()
			defer mu.Unlock()
			got[what] = err
		})
	}
	all.Wait()
	return got
}

func readDiff(ctx context.Context, d graphdriver.Driver) error {
	r, err := d.Diff(ctx, "a", "", graphdriver.DiffOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func everything(f http.HandlerFunc) odd {
	o := odd{}
	for _, m := range []string{"Create", "CreateReadWrite", "Remove", "Put", "Get", "Exists", "GetMetadata", "Changes", "DiffSize", "Diff", "ApplyDiff", "Status"} {
		o[m] = f
	}
	return o
}

// TestNoHang: no call waits for ever for a plugin that does not answer, answers half, or streams
// nothing, and none is sent twice.
func TestNoHang(t *testing.T) {
	half := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"Dir":"/x`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, f := range map[string]http.HandlerFunc{"hangs": hang, "hangs half-way": half, "dies": dies} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			o := everything(func(w http.ResponseWriter, r *http.Request) { requests.Add(1); f(w, r) })
			short := 4 * time.Second // enough for a request to get there, and for Init's answer
			opts := plugin.ClientOptions{Handshake: patience, Timeout: short, LongTimeout: short, Stall: short, Retry: -1}
			d, err := plugin.New("p", listen(t, o), opts)(t.Context(), graphdriver.Config{Home: t.TempDir()})
			must(t, err)
			start := time.Now()
			got := calls(t.Context(), d)
			for what, err := range got {
				var call *plugin.CallError
				if !errors.Is(err, plugin.ErrUnavailable) || !errors.As(err, &call) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if s := d.Status(); s != nil {
				t.Errorf("status %v", s)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
			if n := int(requests.Load()); n != len(got)+1 {
				t.Errorf("%d requests for %d calls", n, len(got)+1)
			}
		})
	}
}

// TestCancelledCalls: a context ends every call at once, with its own error.
func TestCancelledCalls(t *testing.T) {
	d := dial(t, everything(hang), t.TempDir())
	for _, deadline := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		want := context.Canceled
		if deadline {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			want = context.DeadlineExceeded
		}
		timer := time.AfterFunc(50*time.Millisecond, cancel)
		if deadline {
			timer.Stop()
		}
		for what, err := range calls(ctx, d) {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		cancel()
	}
}

// TestAnswersThatBreakTheProtocol are errors, never believed.
func TestAnswersThatBreakTheProtocol(t *testing.T) {
	for name, o := range map[string]odd{
		"relative path": {"Get": says(`{"Dir":"../x"}`)}, "no path": {"Get": says(`{}`)},
		"unknown change":  {"Changes": says(`{"Changes":[{"Path":"/x","Kind":7}]}`)},
		"relative change": {"Changes": says(`{"Changes":[{"Path":"x","Kind":0}]}`)},
		"a list":          {"Exists": says(`[]`)}, "nothing": {"Metadata": says(``), "GetMetadata": says(``)},
	} {
		d := dial(t, o, t.TempDir())
		var broken []error
		for _, err := range calls(t.Context(), d) {
			if errors.Is(err, plugin.ErrAnswer) {
				broken = append(broken, err)
			}
		}
		if len(broken) == 0 {
			t.Errorf("%s: believed", name)
		}
	}
}

// TestServerStartedAnew: a server that is killed and started again gets its Init again, and
// the caller notices nothing.
func TestServerStartedAnew(t *testing.T) {
	testutil.RequireRoot(t)
	root := t.TempDir()
	socket := socketFor(root)
	stop := serve(t, socket, vfs.New, plugin.ServerOptions{Driver: vfs.Name})
	d := pair(t, root, vfs.New, vfs.Name)
	must(t, d.Create(t.Context(), "a", "", graphdriver.CreateOptions{}))
	for range 2 {
		must(t, stop())
		if err := d.Put(t.Context(), "a"); !errors.Is(err, plugin.ErrUnavailable) {
			t.Errorf("with no server: %v", err)
		}
		stop = serve(t, socket, vfs.New, plugin.ServerOptions{Driver: vfs.Name})
		must(t, readDiff(t.Context(), d))
		if ok, err := d.Exists(t.Context(), "a"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
	must(t, stop())
}

// TestServerDiesInAStream: a diff that breaks off is an error, never a short tar.
func TestServerDiesInAStream(t *testing.T) {
	d := dial(t, odd{"Diff": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 100_000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}}, t.TempDir())
	r, err := d.Diff(t.Context(), "a", "", graphdriver.DiffOptions{})
	must(t, err)
	n, err := io.Copy(io.Discard, r)
	if n != 100_000 || !errors.Is(err, plugin.ErrUnavailable) || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("%d bytes, %v", n, err)
	}
	must(t, r.Close())
}

// failing is a driver whose diffs fail after some bytes.
type failing struct {
	graphdriver.Driver
	after int64
}

func (f failing) Diff(context.Context, graphdriver.ID, graphdriver.ID, graphdriver.DiffOptions) (io.ReadCloser, error) {
	bad := fmt.Errorf("read layer: %w", errdefs.ErrCorrupt)
	return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, f.after), errReader{bad})), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type errReader struct{ error }

func (e errReader) Read([]byte) (int, error) { return 0, e.error }

// TestDiffThatFails: an early error keeps its words and its kind, a late one breaks the stream off.
func TestDiffThatFails(t *testing.T) {
	for after, want := range map[int64]error{0: errdefs.ErrCorrupt, 60_000: errdefs.ErrCorrupt, 1 << 20: plugin.ErrUnavailable} {
		s, err := plugin.NewServer(func(context.Context, graphdriver.Config) (graphdriver.Driver, error) {
			return failing{after: after}, nil
		},
			plugin.ServerOptions{Driver: "x"})
		must(t, err)
		if err := readDiff(t.Context(), dial(t, s, t.TempDir())); !errors.Is(err, want) {
			t.Errorf("after %d bytes: %v, want %v", after, err, want)
		}
	}
}

// discards is a driver that takes any tar, and counts its bytes.
type discards struct{ graphdriver.Driver }

func (discards) ApplyDiff(_ context.Context, _, _ graphdriver.ID, r io.Reader, _ graphdriver.ApplyOptions) (int64, error) {
	return io.Copy(io.Discard, r)
}

func (discards) Diff(context.Context, graphdriver.ID, graphdriver.ID, graphdriver.DiffOptions) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, streamed)), nil
}

const streamed = 256 << 20

// TestStreamsAreNotKept: a quarter of a gigabyte goes through both sides in little memory.
func TestStreamsAreNotKept(t *testing.T) {
	s, err := plugin.NewServer(func(context.Context, graphdriver.Config) (graphdriver.Driver, error) { return discards{}, nil }, plugin.ServerOptions{Driver: "x"})
	must(t, err)
	d := dial(t, s, t.TempDir())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := d.Diff(t.Context(), "a", "", graphdriver.DiffOptions{})
	must(t, err)
	n, err := d.ApplyDiff(t.Context(), "b", "", r, graphdriver.ApplyOptions{})
	must(t, err, r.Close())
	runtime.ReadMemStats(&after)
	if n != streamed {
		t.Errorf("%d bytes arrived", n)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 32<<20 {
		t.Errorf("%d MiB allocated", got>>20)
	}
}

// FuzzServer sends requests to a server: no panic, and every answer but a tar is an object that
// agrees with its status.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"ID":"a","Parent":"b","Strata":{"Mapping":{"UIDs":[{"container_id":0,"host_id":-1,"size":1}]}}}`, `{"ID":1}`, `null`, `[`, `{"Strata":null}`} {
		for _, m := range []string{"Init", "Create", "Get", "Changes", "Diff", "ApplyDiff?id=a&strata=%7B%7D", "StrataEndStream", "Capabilities"} {
			f.Add("/GraphDriver."+m, seed)
		}
	}
	dir := f.TempDir()
	s, err := plugin.NewServer(vfs.New, plugin.ServerOptions{Driver: vfs.Name, Home: filepath.Join(dir, "p"), MaxBody: 1 << 12})
	must(f, err)
	must(f, s.Init(f.Context()))
	f.Fuzz(func(t *testing.T, target, body string) {
		method, query, _ := strings.Cut(target, "?")
		checkAnswer(t, s, method, query, body)
	})
}

// FuzzClient gives a client answers to all its calls: no panic, no path that is not absolute.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"Err":"x","Kinds":["exists","?"]}`, `{"Dir":"/x","Exists":true,"Size":-1}`, `{"Changes":[{"Path":"/x","Kind":2}]}`, `{"Status":[["a"]]}`, `null`} {
		f.Add(http.StatusOK, seed)
		f.Add(http.StatusInternalServerError, seed)
	}
	var code atomic.Int64
	var text atomic.Value
	d := dial(f, everything(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(code.Load()))
		_, _ = io.WriteString(w, text.Load().(string))
	}), f.TempDir())
	f.Fuzz(func(t *testing.T, status int, answer string) {
		if status < 200 || status > 599 || status == http.StatusNoContent || status == http.StatusNotModified {
			t.Skip("no answer with a body")
		}
		code.Store(int64(status))
		text.Store(answer)
		for what, err := range calls(t.Context(), d) {
			var call *plugin.CallError
			if err != nil && !errors.As(err, &call) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if dir, err := d.Get(t.Context(), "a", graphdriver.MountOptions{}); err == nil && !filepath.IsAbs(dir) {
			t.Errorf("path %q", dir)
		}
		_ = d.Status()
	})
}
