package dockerroot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/dockerroot"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// newStore is a store that need not outlive a crash.
func newStore(t *testing.T, driver string) *storetest.Store {
	t.Helper()
	return storetest.New(t, driver, func(o *strata.Options) { o.Sync = graphdriver.SyncNone })
}

// importAll imports and demands that there is no final error.
func importAll(t *testing.T, r *dockerroot.Root, s *storetest.Store, images []dockerroot.Image) []dockerroot.Result {
	t.Helper()
	results, err := r.Import(t.Context(), s, images, dockerroot.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestImport takes images over from each driver: same IDs, names, configurations
// and layers; the data root is as it was.
func TestImport(t *testing.T) {
	for _, driver := range []string{"overlay2", "fuse-overlayfs", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			m := newMade(t, driver)
			base, top, other := baseTar(t), topTar(t), otherTar(t)
			app, _ := m.build("app:1", base, top)
			m.name("registry.example:5000/team/app:2", string(app))
			twice, _ := m.build("twice:latest", other, other, base)
			none, _ := m.build("none:1")
			step, _ := m.build("", base)
			before := testutil.Tree(t, m.dir)

			s := newStore(t, "overlay")
			r := m.open(dockerroot.Options{})
			results := importAll(t, r, s, r.Images(false))
			want := map[digest.Digest][][]byte{app: {base, top}, twice: {other, other, base}, none: nil}
			if len(results) != len(want) || len(r.Skipped()) != 0 {
				t.Fatalf("results %+v, skipped %v", results, r.Skipped())
			}
			for _, res := range results {
				if res.Err != nil || string(res.Loaded.ID) != res.Image.ID.Encoded() {
					t.Fatalf("image %s: %+v", res.Image.ID, res)
				}
				if got := s.Tars(t, string(res.Loaded.ID)); !slices.EqualFunc(got, want[res.Image.ID], bytes.Equal) {
					t.Errorf("image %s has other layers", res.Image.ID)
				}
				config, err := s.BigData(t.Context(), strata.KindImage, string(res.Loaded.ID), res.Image.ID.String())
				if file, err2 := os.ReadFile(m.content(res.Image.ID)); err != nil || err2 != nil || !bytes.Equal(config, file) {
					t.Errorf("image %s: configuration differs: %v", res.Image.ID, err)
				}
			}
			img, err := s.Image(t.Context(), "registry.example:5000/team/app:2")
			if err != nil || !cmp.Equal(slices.Sorted(slices.Values(img.Names)), []string{"docker.io/library/app:1", "registry.example:5000/team/app:2"}) {
				t.Errorf("names %v, %v", img.Names, err)
			}
			if _, err := s.Image(t.Context(), step.Encoded()); !errors.Is(err, image.ErrUnknown) {
				t.Errorf("an image without a name was imported: %v", err)
			}

			again := importAll(t, r, s, r.Images(true))
			if len(again) != 4 {
				t.Fatalf("all: %+v", again)
			}
			for _, res := range again {
				if res.Err != nil || res.Loaded.NewLayers != 0 || res.Loaded.Existed == (res.Image.ID == step) {
					t.Errorf("again: %+v", res)
				}
			}
			if diff := cmp.Diff(before, testutil.Tree(t, m.dir)); diff != "" {
				t.Errorf("the data root was changed:\n%s", diff)
			}
		})
	}
}

// TestReadOnlyMedia: a data root on a read-only mount serves as well.
func TestReadOnlyMedia(t *testing.T) {
	m := newMade(t, "overlay2")
	m.build("app:1", baseTar(t), topTar(t))
	at := t.TempDir()
	m.ok(unix.Mount(m.dir, at, "", unix.MS_BIND, ""))
	t.Cleanup(func() { m.ok(testutil.Unmount(at)) })
	m.ok(unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	r, err := dockerroot.Open(at, dockerroot.Options{})
	m.ok(err)
	defer r.Close()
	if results := importAll(t, r, newStore(t, "vfs"), r.Images(false)); len(results) != 1 || results[0].Err != nil {
		t.Errorf("results: %+v", results)
	}
}

// replaceFile puts something else in the place of a file.
func replaceFile(path string, put func(path string) error) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return put(path)
}

func fifo(path string) error { return unix.Mkfifo(path, 0o600) }

// TestDamaged: what is damaged takes its image along and no other one, and is named.
func TestDamaged(t *testing.T) {
	type spoil func(t *testing.T, m *madeRoot, id digest.Digest, top layer.ChainID) error
	write := func(file, text string) spoil {
		return func(_ *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			return os.WriteFile(filepath.Join(m.db(top), file), []byte(text), 0o600)
		}
	}
	inDB := func(file string, put func(string) error) spoil {
		return func(_ *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			return replaceFile(filepath.Join(m.db(top), file), put)
		}
	}
	inFiles := func(put func(string) error) spoil {
		return func(_ *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			return replaceFile(filepath.Join(m.files(top), "data/new"), put)
		}
	}
	lines := func(change func(string) string) spoil {
		return func(t *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			text := string(ungzipped(t, m.split(top)))
			changed := change(text)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			return os.WriteFile(m.split(top), gzipped(t, []byte(changed)), 0o600)
		}
	}
	body := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	link := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	config := func(put func(string) error) spoil {
		return func(_ *testing.T, m *madeRoot, id digest.Digest, _ layer.ChainID) error {
			return replaceFile(m.content(id), put)
		}
	}
	tests := []struct {
		name  string
		spoil spoil
		want  string
		// noLayer: the error is not about the layer.
		noLayer bool
	}{
		{name: "no tar-split", spoil: inDB("tar-split.json.gz", func(string) error { return nil }), want: "the original tar can't be put together"},
		{name: "tar-split is no gzip", spoil: write("tar-split.json.gz", "{}"), want: "tar-split"},
		{name: "tar-split is empty", spoil: write("tar-split.json.gz", ""), want: "tar-split"},
		{name: "tar-split cut", spoil: func(_ *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			return os.Truncate(m.split(top), 60)
		}, want: "tar-split"},
		{name: "tar-split is a link", spoil: inDB("tar-split.json.gz", link("diff")), want: "symbolic link"},
		{name: "tar-split is a FIFO", spoil: inDB("tar-split.json.gz", fifo), want: "not a regular file"},
		{name: "tar-split with an unknown entry", spoil: lines(func(s string) string { return strings.Replace(s, `"type":1`, `"type":3`, 1) }), want: "tar-split line"},
		{name: "tar-split with a negative size", spoil: lines(func(s string) string { return strings.Replace(s, `"size":4`, `"size":-4`, 1) }), want: "tar-split line"},
		{name: "tar-split without a line", spoil: lines(func(s string) string { return s[strings.Index(s, "\n")+1:] }), want: "sha256:"},
		{name: "tar-split with another segment", spoil: lines(func(s string) string { return strings.Replace(s, `"payload":"Z`, `"payload":"a`, 1) }), want: "sha256:"},
		{name: "content altered", spoil: inFiles(body("nEw\n")), want: `file "data/new"`},
		{name: "content longer", spoil: inFiles(body("new\nmore")), want: `file "data/new"`},
		{name: "content shorter", spoil: inFiles(body("ne")), want: `file "data/new"`},
		{name: "content missing", spoil: inFiles(func(string) error { return nil }), want: `file "data/new" of the layer is missing`},
		{name: "content is a link", spoil: inFiles(link("/etc/passwd")), want: "not a regular file"},
		{name: "content is a FIFO", spoil: inFiles(fifo), want: "not a regular file"},
		{name: "content is a directory", spoil: inFiles(func(path string) error { return os.Mkdir(path, 0o755) }), want: "not a regular file"},
		{name: "no folder", spoil: func(_ *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			return os.RemoveAll(m.files(top))
		}, want: "the layer's files"},
		{name: "folder is a link out", spoil: func(t *testing.T, m *madeRoot, _ digest.Digest, top layer.ChainID) error {
			out := filepath.Join(t.TempDir(), "out")
			return errors.Join(os.Rename(m.files(top), out), os.Symlink(out, m.files(top)))
		}, want: "symbolic link"},
		{name: "cache-id climbs out", spoil: write("cache-id", "../../../../etc"), want: "cache-id"},
		{name: "cache-id empty", spoil: write("cache-id", "\n"), want: "cache-id"},
		{name: "cache-id too long", spoil: write("cache-id", strings.Repeat("a", 5000)), want: "at most 4096"},
		{name: "cache-id missing", spoil: inDB("cache-id", func(string) error { return nil }), want: "cache-id"},
		{name: "cache-id is a link", spoil: inDB("cache-id", link("size")), want: "symbolic link"},
		{name: "cache-id is a FIFO", spoil: inDB("cache-id", fifo), want: "not a regular file"},
		{name: "diff is no digest", spoil: write("diff", "sha256:12"), want: "no SHA-256 digest"},
		{name: "diff is of another kind", spoil: write("diff", "sha512:"+strings.Repeat("ab", 64)), want: "no SHA-256 digest"},
		{name: "diff of another layer", spoil: write("diff", digest.FromString("x").String()), want: "give the chain ID"},
		{name: "parent is another", spoil: write("parent", digest.FromString("x").String()), want: "give the chain ID"},
		{name: "parent is a FIFO", spoil: inDB("parent", fifo), want: "not a regular file"},
		{name: "layer missing", spoil: inDB("", func(string) error { return nil }), want: "not in the database"},
		{name: "layer is a file", spoil: inDB("", body("x")), want: "not a directory"},
		{name: "layer is a link", spoil: inDB("", link("/etc")), want: "symbolic link"},
		{name: "configuration altered", spoil: config(body("{}")), want: "has the digest", noLayer: true},
		{name: "configuration missing", spoil: config(func(string) error { return nil }), want: "configuration is missing", noLayer: true},
		{name: "configuration is a FIFO", spoil: config(fifo), want: "not a regular file", noLayer: true},
		{name: "configuration is a link", spoil: config(link("/etc/passwd")), want: "symbolic link", noLayer: true},
		{name: "configuration too large", spoil: config(func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 9<<20)) }), want: "at most", noLayer: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMade(t, "overlay2")
			good, _ := m.build("good:1", baseTar(t), otherTar(t))
			bad, top := m.build("bad:1", baseTar(t), topTar(t))
			m.ok(tt.spoil(t, m, bad, top))
			s := newStore(t, "vfs")
			r := m.open(dockerroot.Options{})
			results := importAll(t, r, s, r.Images(false))
			if len(results) != 2 {
				t.Fatalf("results: %+v", results)
			}
			for _, res := range results {
				if res.Image.ID == good {
					if res.Err != nil {
						t.Errorf("the other image failed too: %v", res.Err)
					}
					continue
				}
				checkFailure(t, res.Err, tt.want, top, tt.noLayer)
			}
			if got := s.Tars(t, good.Encoded()); len(got) != 2 {
				t.Errorf("the other image has %d layers", len(got))
			}
			if _, err := s.Image(t.Context(), bad.Encoded()); !errors.Is(err, image.ErrUnknown) {
				t.Errorf("the damaged image: %v", err)
			}
			if len(r.Skipped()) != 0 {
				t.Errorf("skipped %v, which the image tells already", r.Skipped())
			}
		})
	}
}

func checkFailure(t *testing.T, err error, want string, top layer.ChainID, noLayer bool) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error = %v, want one with %q", err, want)
	}
	for _, kind := range []error{errdefs.ErrCorrupt, errdefs.ErrLimit} {
		if errors.Is(err, kind) {
			named := strings.Contains(err.Error(), string(top)) || strings.Contains(err.Error(), digest.FromBytes(topTar(t)).String())
			if named == noLayer {
				t.Errorf("error = %v: does it name the layer?", err)
			}
			return
		}
	}
	t.Errorf("error = %v is of no kind that is expected", err)
}

// fullStore is a store on a full disk, after some layers.
type fullStore struct {
	*storetest.Store
	room int
	err  error
}

func (f *fullStore) ImportLayer(ctx context.Context, opts strata.LayerOptions, diff io.Reader) (layer.Layer, error) {
	if f.room--; f.room < 0 {
		return layer.Layer{}, f.err
	}
	return f.Store.ImportLayer(ctx, opts, diff)
}

func (f *fullStore) ImportStack(ctx context.Context, opts strata.StackOptions, stack []strata.StackLayer) ([]layer.Layer, error) {
	if f.room--; f.room < 0 {
		return nil, f.err
	}
	return f.Store.ImportStack(ctx, opts, stack)
}

// TestImportStops where going on is of no use.
func TestImportStops(t *testing.T) {
	m := newMade(t, "overlay2")
	m.build("a:1", baseTar(t))
	m.build("b:1", otherTar(t))
	m.build("c:1", topTar(t))
	r := m.open(dockerroot.Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		done int
	}{
		{"full disk", t.Context(), syscall.ENOSPC, 1},
		{"read-only", t.Context(), errdefs.ErrReadOnly, 1},
		{"cancelled", cancelled, context.Canceled, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &fullStore{Store: newStore(t, "vfs"), room: 1, err: tt.err}
			results, err := r.Import(tt.ctx, s, r.Images(false), dockerroot.ImportOptions{})
			if !errors.Is(err, tt.err) || len(results) != tt.done {
				t.Errorf("%d results, %v", len(results), err)
			}
		})
	}
}

// TestSourceClosedEarly: nothing goes on after a reader has been closed.
func TestSourceClosedEarly(t *testing.T) {
	m := newMade(t, "overlay2")
	id, _ := m.build("a:1", baseTar(t))
	r := m.open(dockerroot.Options{})
	src, err := r.Source(t.Context(), id)
	m.ok(err)
	rc, err := src.Blob(t.Context(), v1.Descriptor{Digest: digest.FromBytes(baseTar(t))})
	m.ok(err)
	_, err = rc.Read(make([]byte, 10))
	m.ok(err)
	m.ok(rc.Close())
	if _, err := rc.Read(make([]byte, 10)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after close: %v", err)
	}
	if _, err := src.Blob(t.Context(), v1.Descriptor{Digest: digest.FromString("x")}); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("unknown blob: %v", err)
	}
	if _, err := r.Source(t.Context(), digest.FromString("x")); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("unknown image: %v", err)
	}
}
