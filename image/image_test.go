package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

func open(t *testing.T, opts image.Options) *image.Store {
	t.Helper()
	if len(opts.Dirs) == 0 {
		opts.Dirs = []string{filepath.Join(t.TempDir(), "vfs-images")}
	}
	if opts.RunDir == "" {
		opts.RunDir = filepath.Join(t.TempDir(), "vfs-images")
	}
	s, err := image.Open(opts)
	must(t, err)
	return s
}

// create stores an image on top layer "top".
func create(t *testing.T, s *image.Store, opts image.CreateOptions) (image.Image, error) {
	t.Helper()
	st, err := s.Stage(t.Context(), opts)
	if err != nil {
		return image.Image{}, err
	}
	defer func() { must(t, st.Discard()) }()
	tx, err := s.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	img, err := tx.Adopt(t.Context(), st, layer.ID(opts.TopLayer))
	if err != nil {
		return image.Image{}, err
	}
	return img, tx.Commit(t.Context())
}

// change runs one write transaction.
func change(t *testing.T, s *image.Store, f func(tx *image.WriteTx) error) error {
	t.Helper()
	tx, err := s.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(t.Context())
}

// view runs one read transaction.
func view(t *testing.T, s *image.Store, f func(tx *image.ReadTx)) {
	t.Helper()
	tx, err := s.View(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	f(tx)
}

func list(t *testing.T, s *image.Store) (ids []string) {
	t.Helper()
	view(t, s, func(tx *image.ReadTx) {
		all, err := tx.Images()
		must(t, err)
		for _, i := range all {
			ids = append(ids, string(i.ID))
		}
	})
	return ids
}

func get(t *testing.T, s *image.Store, text string) (img image.Image) {
	t.Helper()
	view(t, s, func(tx *image.ReadTx) {
		var err error
		img, err = tx.Lookup(text)
		must(t, err)
	})
	return img
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCreateWritesOneCompleteRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vfs-images")
	s := open(t, image.Options{Dirs: []string{dir}})
	manifest := []byte(`{"schemaVersion":2}`)
	d := digest.FromBytes(manifest)
	_, err := create(t, s, image.CreateOptions{
		ID:           "i1",
		Names:        []string{"a", "b", "a"},
		NamesHistory: image.History(nil, []string{"a", "b"}),
		TopLayer:     "top",
		Created:      time.Date(2024, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)),
		Metadata:     "<{}>",
		BigData: []image.BigDatum{
			{Key: "sha256:cc", Data: []byte("config")},
			{Key: "manifest", Data: manifest},
			{Key: "empty"},
		},
	})
	must(t, err)
	got, err := os.ReadFile(filepath.Join(dir, "images.json"))
	must(t, err)
	want := `[{"id":"i1","digest":"` + d.String() + `","names":["a","b"],"names-history":["b","a"],"layer":"top",` +
		`"metadata":"\u003c{}\u003e","big-data-names":["sha256:cc","manifest","empty"],` +
		`"big-data-sizes":{"empty":0,"manifest":19,"sha256:cc":6},` +
		`"big-data-digests":{"empty":"` + digest.FromBytes(nil).String() + `","manifest":"` + d.String() +
		`","sha256:cc":"` + digest.FromString("config").String() + `"},"created":"2024-01-02T02:04:05.000000006Z"}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Fatalf("images.json (-want +got):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(dir, "i1", "=c2hhMjU2OmNj"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("config item: %v, %v", info, err)
	}
	shown, err := json.Marshal(get(t, s, "i1"))
	must(t, err)
	if diff := cmp.Diff(strings.Trim(want, "[]")+"", strings.Trim(string(shown), "[]")); diff != "" {
		t.Fatalf("JSON of the image (-want +got):\n%s", diff)
	}
}

func TestCreateRefuses(t *testing.T) {
	s := open(t, image.Options{})
	_, err := create(t, s, image.CreateOptions{ID: "i1", Names: []string{"n1"}, BigData: []image.BigDatum{{Key: "a"}}})
	must(t, err)
	tests := []struct {
		name string
		opts image.CreateOptions
		want error
		text string
	}{
		{"ID in use", image.CreateOptions{ID: "i1", BigData: []image.BigDatum{{Key: "a"}}}, image.ErrDuplicateID, `an image with ID "i1" already exists: that ID is already in use`},
		{"name in use", image.CreateOptions{ID: "i2", Names: []string{"n1"}}, image.ErrDuplicateName, `image name "n1" is already associated with image "i1": that name is already in use`},
		{"bad digest", image.CreateOptions{Digest: "xx"}, errdefs.ErrInvalid, `validating digests for new image: validating image digest "xx": invalid checksum digest format`},
		{"ID with slash", image.CreateOptions{ID: "../x"}, errdefs.ErrInvalid, ""},
		{"empty name", image.CreateOptions{Names: []string{""}}, errdefs.ErrInvalid, ""},
		{"empty key", image.CreateOptions{BigData: []image.BigDatum{{}}}, image.ErrInvalidDataName, ""},
		{"key of the engines' directory", image.CreateOptions{BigData: []image.BigDatum{{Key: "userdata"}}}, image.ErrInvalidDataName, ""},
		{"key twice", image.CreateOptions{BigData: []image.BigDatum{{Key: "a"}, {Key: "a"}}}, errdefs.ErrInvalid, ""},
		{"bad flag", image.CreateOptions{Flags: map[string]json.RawMessage{"x": json.RawMessage("{")}}, errdefs.ErrInvalid, ""},
		{"bad item digest", image.CreateOptions{BigData: []image.BigDatum{{Key: "a", Digest: "b"}}}, errdefs.ErrInvalid, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := create(t, s, tt.opts)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Fatalf("text = %q, want %q", err, tt.text)
			}
		})
	}
	if diff := cmp.Diff([]string{"i1"}, list(t, s)); diff != "" {
		t.Fatalf("images (-want +got):\n%s", diff)
	}
}

func TestLookup(t *testing.T) {
	s := open(t, image.Options{})
	for _, o := range []image.CreateOptions{{ID: "abc1", Names: []string{"abc2"}}, {ID: "abc2x", Names: []string{"name"}}, {ID: "b0"}} {
		_, err := create(t, s, o)
		must(t, err)
	}
	tests := []struct{ text, want string }{
		{"abc1", "abc1"}, {"abc2", "abc1"}, {"name", "abc2x"}, {"abc2x", "abc2x"}, {"b", "b0"}, {"abc", ""}, {"", ""}, {"nam", ""},
	}
	for _, tt := range tests {
		view(t, s, func(tx *image.ReadTx) {
			got, err := tx.Lookup(tt.text)
			if tt.want == "" {
				if !errors.Is(err, image.ErrUnknown) || !errors.Is(err, errdefs.ErrNotFound) {
					t.Errorf("Lookup(%q) = %s, %v; want ErrUnknown", tt.text, got.ID, err)
				}
			} else if err != nil || string(got.ID) != tt.want {
				t.Errorf("Lookup(%q) = %s, %v; want %s", tt.text, got.ID, err, tt.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	s := open(t, image.Options{})
	for _, o := range []image.CreateOptions{{ID: "i1", Names: []string{"a", "b"}}, {ID: "i2", Names: []string{"c"}}} {
		_, err := create(t, s, o)
		must(t, err)
	}
	type step struct {
		name    string
		do      func(tx *image.WriteTx) ([]string, error)
		names   []string
		history []string
		other   []string // names of i2 afterwards
	}
	ctx := context.Background()
	steps := []step{
		{"add in front", func(tx *image.WriteTx) ([]string, error) { return tx.AddNames(ctx, "i1", []string{"x", "y"}) },
			[]string{"x", "y", "a", "b"}, []string{"b", "a", "y", "x"}, []string{"c"}},
		{"take from another", func(tx *image.WriteTx) ([]string, error) { return tx.AddNames(ctx, "i1", []string{"c"}) },
			[]string{"c", "x", "y", "a", "b"}, []string{"b", "a", "y", "x", "c"}, nil},
		{"remove", func(tx *image.WriteTx) ([]string, error) {
			return tx.RemoveNames(ctx, "i1", []string{"x", "none", "b"})
		},
			[]string{"c", "y", "a"}, []string{"a", "y", "c", "b", "x"}, nil},
		{"set", func(tx *image.WriteTx) ([]string, error) { return tx.SetNames(ctx, "i1", []string{"q", "q"}) },
			[]string{"q"}, []string{"q", "a", "y", "c", "b", "x"}, nil},
		{"set none", func(tx *image.WriteTx) ([]string, error) { return tx.SetNames(ctx, "i1", nil) },
			nil, []string{"q", "a", "y", "c", "b", "x"}, nil},
	}
	for _, st := range steps {
		var got []string
		must(t, change(t, s, func(tx *image.WriteTx) (err error) {
			got, err = st.do(tx)
			return err
		}))
		img := get(t, s, "i1")
		if diff := cmp.Diff([][]string{st.names, st.names, st.history, st.other}, [][]string{got, img.Names, img.NamesHistory, get(t, s, "i2").Names}); diff != "" {
			t.Fatalf("%s: result, names, history, the other's (-want +got):\n%s", st.name, diff)
		}
	}
	err := change(t, s, func(tx *image.WriteTx) error {
		_, err := tx.AddNames(ctx, "none", []string{"x"})
		return err
	})
	if !errors.Is(err, image.ErrUnknown) {
		t.Fatalf("names of an unknown image: %v", err)
	}
}

func TestCloseDropsChanges(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vfs-images")
	s := open(t, image.Options{Dirs: []string{dir}})
	st, err := s.Stage(t.Context(), image.CreateOptions{ID: "i1", BigData: []image.BigDatum{{Key: "a"}}})
	must(t, err)
	tx, err := s.Begin(t.Context())
	must(t, err)
	_, err = tx.Adopt(t.Context(), st, "")
	must(t, err)
	must(t, tx.Close())
	must(t, st.Discard())
	if got := list(t, s); len(got) != 0 {
		t.Errorf("images: %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "i1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data directory is still there: %v", err)
	}
}

func TestUnknownMembersStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vfs-images")
	must(t, os.MkdirAll(dir, 0o700))
	const in = `[{"future":{"b": 1},"id":"i1","created":"2024-01-02T03:04:05Z","names":["n"],"flags":{"f":[1]}}]`
	must(t, os.WriteFile(filepath.Join(dir, "images.json"), []byte(in), 0o600))
	s := open(t, image.Options{Dirs: []string{dir}})
	must(t, change(t, s, func(tx *image.WriteTx) error { return tx.SetMetadata("i1", "text") }))
	got, err := os.ReadFile(filepath.Join(dir, "images.json"))
	must(t, err)
	for _, want := range []string{`"future":{"b": 1}`, `"flags":{"f":[1]}`, `"metadata":"text"`, `"created":"2024-01-02T03:04:05Z"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}

func TestLostRecordsAreNotAnEmptyStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vfs-images")
	s := open(t, image.Options{Dirs: []string{dir}})
	_, err := create(t, s, image.CreateOptions{BigData: []image.BigDatum{{Key: "a"}}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "images.json"), nil, 0o600))
	fresh := open(t, image.Options{Dirs: []string{dir}})
	if _, err := fresh.View(t.Context()); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Fatalf("error = %v, want ErrCorrupt", err)
	}
}

// snapshot lists the files of a directory with their content; lock files may be
// opened, and so are left out.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = string(data)
		return err
	}))
	return out
}

func noStages(t *testing.T, parent string) {
	t.Helper()
	entries, err := os.ReadDir(parent)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left in %s", e.Name(), parent)
		}
	}
	must(t, bigdata.SweepStages(parent))
}
