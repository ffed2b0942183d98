package layer

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/overlay"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/lockfile"
)

// env is the place of one store.
type env struct {
	driver     string
	graph, run string
	image      string   // image store's root, or ""
	additional []string // graph roots
	transient  bool
	killed     bool // a process died: temporary record files stay for a day
	// wrap changes the driver that stores are opened with.
	wrap func(graphdriver.Driver) graphdriver.Driver
}

var inits = map[string]graphdriver.Init{"vfs": vfs.New, "overlay": overlay.New}

func newEnv(t testing.TB, driver string) *env {
	t.Helper()
	testutil.RequireRoot(t)
	base := t.TempDir()
	return &env{driver: driver, graph: filepath.Join(base, "graph"), run: filepath.Join(base, "run")}
}

// eachDriver runs a test on a fresh store of every driver.
func eachDriver(t *testing.T, test func(t *testing.T, e *env)) {
	t.Helper()
	for _, name := range []string{"vfs", "overlay"} {
		t.Run(name, func(t *testing.T) { test(t, newEnv(t, name)) })
	}
}

// graphDir is <G>/<D>-layers.
func (e *env) graphDir() string { return layersDir(e.graph, e.driver) }
func (e *env) runDir() string   { return layersDir(e.run, e.driver) }

func layersDir(root, driver string) string { return filepath.Join(root, driver+"-layers") }

// openDriver opens the driver; it is cleaned up when the test ends.
func (e *env) openDriver(t testing.TB) graphdriver.Driver {
	t.Helper()
	for _, dir := range []string{e.graph, e.run} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cfg := graphdriver.Config{
		Root: e.graph, Home: filepath.Join(e.graph, e.driver), RunHome: filepath.Join(e.run, e.driver),
	}
	if e.image != "" {
		cfg.ImageHome = filepath.Join(e.image, e.driver)
	}
	for _, root := range e.additional {
		cfg.AdditionalHomes = append(cfg.AdditionalHomes, filepath.Join(root, e.driver))
	}
	d, err := inits[e.driver](context.Background(), cfg)
	if err != nil {
		t.Fatalf("open driver %s: %v", e.driver, err)
	}
	t.Cleanup(func() {
		if err := d.Cleanup(context.Background()); err != nil {
			t.Errorf("clean up driver: %v", err)
		}
	})
	return d
}

func (e *env) options(t testing.TB) Options {
	t.Helper()
	d := e.openDriver(t)
	if e.wrap != nil {
		d = e.wrap(d)
	}
	opts := Options{
		Driver: d, GraphDir: e.graphDir(), RunDir: e.runDir(),
		StorageLock: lockfile.New(filepath.Join(e.graph, "storage.lock"), lockfile.Options{}),
		BackupDir:   filepath.Join(e.graph, "strata", "backup"),
	}
	if e.image != "" {
		opts.ImageDir = layersDir(e.image, e.driver)
	}
	if e.transient {
		opts.VolatileDir = opts.RunDir
	}
	for _, root := range e.additional {
		opts.Additional = append(opts.Additional, layersDir(root, e.driver))
	}
	return opts
}

// open opens the store; when the test ends, it must be consistent.
func (e *env) open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			checkStore(t, e, s)
		}
	})
	return s
}

// checkStore makes sure that records, driver and files agree and that nothing is
// left over.
func checkStore(t testing.TB, e *env, s *Store) {
	t.Helper()
	ctx := context.Background()
	tx, err := s.View(ctx)
	if err != nil {
		t.Errorf("check: %v", err)
		return
	}
	defer tx.Close()
	layers, err := tx.Layers()
	if err != nil {
		t.Errorf("check: %v", err)
	}
	own := map[string]bool{}
	for _, l := range layers {
		if l.ReadOnly {
			continue
		}
		own[string(l.ID)] = true
		if l.Incomplete() {
			t.Errorf("check: layer %s is flagged", l.ID)
		}
		if ok, err := s.driver().Exists(ctx, graphdriver.ID(l.ID)); err != nil || !ok {
			t.Errorf("check: layer %s is not in the driver: %v", l.ID, err)
		}
	}
	ids, err := s.driver().(graphdriver.Lister).List(ctx)
	if err != nil {
		t.Errorf("check: %v", err)
	}
	for _, id := range ids {
		if !own[string(id)] {
			t.Errorf("check: the driver has layer %s without a record", id)
		}
	}
	checkFiles(t, e, own)
}

// checkFiles looks for files that belong to no layer and for temporary ones.
func checkFiles(t testing.TB, e *env, own map[string]bool) {
	t.Helper()
	for _, name := range readDir(t, e.graphDir()) {
		switch {
		case strings.HasPrefix(name, ".tmp-"):
			if !e.killed {
				t.Errorf("check: temporary file %s", name)
			}
		case strings.HasSuffix(name, ".json"), strings.HasSuffix(name, ".lock"), name == tempName:
		case !own[strings.TrimSuffix(name, splitSuffix)]:
			t.Errorf("check: %s belongs to no layer", name)
		}
	}
	for _, dir := range []string{filepath.Join(e.graphDir(), tempName), filepath.Join(e.graph, e.driver, "tempdirs")} {
		for _, name := range readDir(t, dir) {
			t.Errorf("check: leftover %s in %s", name, dir)
		}
	}
}

// readDir lists names; a missing directory has none.
func readDir(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// view runs f in a ReadTx.
func view(t testing.TB, s *Store, f func(tx *ReadTx)) {
	t.Helper()
	tx, err := s.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	f(tx)
}

// write runs f in a WriteTx and commits it.
func write(t testing.TB, s *Store, f func(tx *WriteTx)) {
	t.Helper()
	tx, err := s.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	f(tx)
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// load stages and adopts a blob under the ID that the engines derive.
func load(t testing.TB, s *Store, parent ID, blob []byte) Layer {
	t.Helper()
	ctx := context.Background()
	st, err := s.Stage(ctx, StageOptions{Parent: parent}, bytes.NewReader(blob))
	if err != nil {
		t.Fatal(err)
	}
	defer discard(t, st)
	var l Layer
	write(t, s, func(tx *WriteTx) {
		if l, err = tx.Adopt(ctx, st, CreateOptions{ID: ImageLayerID(parent, st.DiffID())}); err != nil {
			t.Fatal(err)
		}
	})
	return get(t, s, l.ID)
}

func discard(t testing.TB, st *Stage) {
	t.Helper()
	if err := st.Discard(); err != nil {
		t.Errorf("discard: %v", err)
	}
}

// create makes an empty layer.
func create(t testing.TB, s *Store, opts CreateOptions) Layer {
	t.Helper()
	var l Layer
	write(t, s, func(tx *WriteTx) {
		var err error
		if l, err = tx.Create(context.Background(), opts); err != nil {
			t.Fatal(err)
		}
	})
	return l
}

func get(t testing.TB, s *Store, id ID) Layer {
	t.Helper()
	var l Layer
	view(t, s, func(tx *ReadTx) {
		var err error
		if l, err = tx.Get(id); err != nil {
			t.Fatal(err)
		}
	})
	return l
}

func listIDs(t testing.TB, s *Store) []ID {
	t.Helper()
	var ids []ID
	view(t, s, func(tx *ReadTx) { ids = tx.IDs() })
	return ids
}

// remove deletes layers with their bytes.
func remove(t testing.TB, s *Store, ids ...ID) {
	t.Helper()
	var cleanup func() error
	write(t, s, func(tx *WriteTx) {
		var err error
		if cleanup, err = tx.Delete(context.Background(), ids...); err != nil {
			t.Fatal(err)
		}
	})
	if err := cleanup(); err != nil {
		t.Fatal(err)
	}
}

// diff reads a whole diff.
func diff(s *Store, id, base ID, opts DiffOptions) ([]byte, error) {
	r, err := s.Diff(context.Background(), id, base, opts)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

var plain = DiffOptions{Packing: PackedAs(archive.None)}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// The two layers that most tests use: a base, and one on top with whiteouts.
func baseTar(t testing.TB) []byte {
	t.Helper()
	return testutil.Tar(t,
		testutil.Entry{Name: "etc/"},
		testutil.Entry{Name: "etc/hello", Body: "hello\n"},
		testutil.Entry{Name: "etc/gone", Body: "gone\n"},
		testutil.Entry{Name: "opq/"},
		testutil.Entry{Name: "opq/old", Body: "old\n"},
		testutil.Entry{Name: "bin/", Mode: 0o755},
		testutil.Entry{Name: "bin/a", Body: strings.Repeat("abc", 5000), UID: 5, GID: 7, Mode: 0o4755},
		testutil.Entry{Name: "bin/b", Type: '1', Link: "bin/a", UID: 5, GID: 7, Mode: 0o4755},
		testutil.Entry{Name: "bin/s", Link: "a"},
		testutil.Entry{Name: "dev0", Type: '3', Major: 1, Minor: 3},
		testutil.Entry{Name: "x", Body: "x", Xattrs: map[string]string{"user.foo": "bar"}},
	)
}

func upperTar(t testing.TB) []byte {
	t.Helper()
	return testutil.Tar(t,
		testutil.Entry{Name: "etc/"},
		testutil.Entry{Name: "etc/.wh.gone"},
		testutil.Entry{Name: "opq/"},
		testutil.Entry{Name: "opq/.wh..wh..opq"},
		testutil.Entry{Name: "opq/new", Body: "new\n"},
	)
}
