package container_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/layer"
)

func open(t *testing.T, change ...func(*container.Options)) (*container.Store, container.Options) {
	t.Helper()
	dir := t.TempDir()
	opts := container.Options{Dir: filepath.Join(dir, "graph", "vfs-containers"), RunDir: filepath.Join(dir, "run", "vfs-containers")}
	for _, c := range change {
		c(&opts)
	}
	s, err := container.Open(opts)
	must(t, err)
	return s, opts
}

func create(t *testing.T, s *container.Store, opts container.CreateOptions, at container.Place) (container.Container, error) {
	t.Helper()
	st, err := s.Stage(t.Context(), opts)
	if err != nil {
		return container.Container{}, err
	}
	defer func() { must(t, st.Discard()) }()
	tx, err := s.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	c, err := tx.Adopt(t.Context(), st, at)
	if err != nil {
		return container.Container{}, err
	}
	return c, tx.Commit(t.Context())
}

func change(t *testing.T, s *container.Store, f func(tx *container.WriteTx) error) error {
	t.Helper()
	tx, err := s.Begin(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(t.Context())
}

func view(t *testing.T, s *container.Store, f func(tx *container.ReadTx)) {
	t.Helper()
	tx, err := s.View(t.Context())
	must(t, err)
	defer func() { must(t, tx.Close()) }()
	f(tx)
}

func list(t *testing.T, s *container.Store) (out []string) {
	t.Helper()
	view(t, s, func(tx *container.ReadTx) {
		all, err := tx.Containers()
		must(t, err)
		for _, c := range all {
			out = append(out, string(c.ID))
		}
	})
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRecordOnDisk(t *testing.T) {
	s, opts := open(t)
	m := idmap.Mapping{UIDs: []idmap.Range{{HostID: 1000, Size: 10}}, GIDs: []idmap.Range{{HostID: 2000, Size: 20}}}
	c, err := create(t, s, container.CreateOptions{
		ID: "c1", Names: []string{"a", "a"}, Metadata: "m", MountLabel: "x:<y>", Volatile: true, MountOpts: []string{"nodev"},
		BigData: []container.BigDatum{{Key: "A_b", Data: []byte("v")}},
		Flags:   map[string]json.RawMessage{"other": json.RawMessage(`{"k":1}`)},
	}, container.Place{Image: "i", Layer: "l1", Mapping: m})
	must(t, err)
	got, err := os.ReadFile(filepath.Join(opts.Dir, "containers.json"))
	must(t, err)
	want := `[{"id":"c1","names":["a"],"image":"i","layer":"l1","metadata":"m","big-data-names":["A_b"],"big-data-sizes":{"A_b":1},` +
		`"big-data-digests":{"A_b":"` + digest.FromString("v").String() + `"},"created":"` + c.Created.Format("2006-01-02T15:04:05.999999999Z07:00") + `",` +
		`"uidmap":[{"container_id":0,"host_id":1000,"size":10}],"gidmap":[{"container_id":0,"host_id":2000,"size":20}],` +
		`"flags":{"MountLabel":"x:\u003cy\u003e","MountOpts":["nodev"],"ProcessLabel":"","Volatile":true,"other":{"k":1}}}]`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Fatalf("containers.json (-want +got):\n%s", d)
	}
	if c.MountLabel() != "x:<y>" || c.ProcessLabel() != "" || !c.Volatile() || !c.Mapping().Equal(m) || c.DataSize() != 1 {
		t.Errorf("accessors of %+v", c)
	}
	if d := cmp.Diff([]string{"nodev"}, c.MountOpts()); d != "" {
		t.Errorf("mount options (-want +got):\n%s", d)
	}
	if data, err := os.ReadFile(filepath.Join(opts.Dir, "c1", "=QV9i")); err != nil || string(data) != "v" {
		t.Errorf("item file: %q, %v", data, err)
	}
}

func TestFlagsOfOtherTypesAreNotErrors(t *testing.T) {
	r := container.Record{Flags: map[string]json.RawMessage{"MountLabel": json.RawMessage("1"), "Volatile": json.RawMessage(`"yes"`), "MountOpts": json.RawMessage(`{}`)}}
	if r.MountLabel() != "" || r.Volatile() || r.MountOpts() != nil {
		t.Error("a flag of another type counts")
	}
}

func TestCreateRefuses(t *testing.T) {
	s, _ := open(t)
	_, err := create(t, s, container.CreateOptions{ID: "c1", Names: []string{"n"}}, container.Place{Layer: "l1"})
	must(t, err)
	tests := []struct {
		name string
		opts container.CreateOptions
		want error
	}{
		{"ID in use", container.CreateOptions{ID: "c1"}, container.ErrDuplicateID},
		{"name in use", container.CreateOptions{Names: []string{"n"}}, container.ErrDuplicateName},
		{"bad ID", container.CreateOptions{ID: "a/b"}, errdefs.ErrInvalid},
		{"empty name", container.CreateOptions{Names: []string{""}}, errdefs.ErrInvalid},
		{"key of the engines' directory", container.CreateOptions{BigData: []container.BigDatum{{Key: "userdata"}}}, container.ErrInvalidDataName},
		{"key twice", container.CreateOptions{BigData: []container.BigDatum{{Key: "a"}, {Key: "a"}}}, errdefs.ErrInvalid},
		{"bad flag", container.CreateOptions{Flags: map[string]json.RawMessage{"x": json.RawMessage("{")}}, errdefs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := create(t, s, tt.opts, container.Place{}); !errors.Is(err, tt.want) {
				t.Fatalf("error = %v, want %v", err, tt.want)
			}
		})
	}
	if d := cmp.Diff([]string{"c1"}, list(t, s)); d != "" {
		t.Fatalf("containers (-want +got):\n%s", d)
	}
}

func TestLookup(t *testing.T) {
	s, _ := open(t)
	for _, c := range []struct{ id, name, layer string }{{"abc1", "abc2", "abc3x"}, {"abc2x", "name", "name"}, {"b0", "", "abc1"}} {
		opts := container.CreateOptions{ID: container.ID(c.id)}
		if c.name != "" {
			opts.Names = []string{c.name}
		}
		_, err := create(t, s, opts, container.Place{Layer: layer.ID(c.layer)})
		must(t, err)
	}
	tests := []struct{ why, text, want string }{
		{"ID before layer", "abc1", "abc1"},
		{"name before prefix", "abc2", "abc1"},
		{"name before layer", "name", "abc2x"},
		{"layer", "abc3x", "abc1"},
		{"prefix", "b", "b0"},
		{"ambiguous prefix", "abc", ""},
		{"empty", "", ""},
		{"prefix of a layer", "abc3", ""},
	}
	for _, tt := range tests {
		view(t, s, func(tx *container.ReadTx) {
			c, err := tx.Lookup(tt.text)
			if tt.want == "" {
				if !errors.Is(err, container.ErrUnknown) {
					t.Errorf("%s: Lookup(%q) = %s, %v; want ErrUnknown", tt.why, tt.text, c.ID, err)
				}
			} else if err != nil || string(c.ID) != tt.want {
				t.Errorf("%s: Lookup(%q) = %s, %v; want %s", tt.why, tt.text, c.ID, err, tt.want)
			}
		})
	}
	view(t, s, func(tx *container.ReadTx) {
		if _, err := tx.ByLayer(""); !errors.Is(err, container.ErrUnknown) {
			t.Errorf("ByLayer of nothing: %v", err)
		}
	})
}

func TestNamesMove(t *testing.T) {
	s, _ := open(t)
	for _, id := range []string{"c1", "c2"} {
		_, err := create(t, s, container.CreateOptions{ID: container.ID(id), Names: []string{"n-" + id}}, container.Place{})
		must(t, err)
	}
	var got [][]string
	must(t, change(t, s, func(tx *container.WriteTx) error {
		for _, f := range []func() ([]string, error){
			func() ([]string, error) { return tx.AddNames("c1", []string{"x", "n-c2", "x"}) },
			func() ([]string, error) { return tx.RemoveNames("c1", []string{"n-c1", "none"}) },
			func() ([]string, error) { return tx.SetNames("c2", []string{"y"}) },
		} {
			names, err := f()
			if err != nil {
				return err
			}
			got = append(got, names)
		}
		return nil
	}))
	want := [][]string{{"x", "n-c2", "n-c1"}, {"x", "n-c2"}, {"y"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("names (-want +got):\n%s", d)
	}
	if err := change(t, s, func(tx *container.WriteTx) error { _, err := tx.SetNames("none", nil); return err }); !errors.Is(err, container.ErrUnknown) {
		t.Errorf("names of an unknown container: %v", err)
	}
}

func TestVolatileRecordsStayInTheirFile(t *testing.T) {
	s, opts := open(t)
	foreign := `[{"id":"v","image":"","layer":"lv","created":"2024-01-02T03:04:05Z","new":[1],"flags":{"MountLabel":"","ProcessLabel":"","Volatile":true}}]`
	path := filepath.Join(opts.Dir, "volatile-containers.json")
	must(t, os.WriteFile(path, []byte(foreign), 0o600))
	_, err := create(t, s, container.CreateOptions{ID: "own", Volatile: true}, container.Place{})
	must(t, err)
	if d := cmp.Diff([]string{"own", "v"}, list(t, s)); d != "" {
		t.Fatalf("listing order (-want +got):\n%s", d)
	}
	must(t, change(t, s, func(tx *container.WriteTx) error { return tx.SetMetadata("v", "x") }))
	got, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(got), `"new":[1]`) || !strings.Contains(string(got), `"metadata":"x"`) || strings.Contains(string(got), "own") {
		t.Errorf("volatile file: %s", got)
	}
	stable, err := os.ReadFile(filepath.Join(opts.Dir, "containers.json"))
	must(t, err)
	if !strings.Contains(string(stable), `"id":"own"`) || !strings.Contains(string(stable), `"Volatile":true`) {
		t.Errorf("stable file: %s", stable)
	}
}

func TestTransient(t *testing.T) {
	s, opts := open(t, func(o *container.Options) { o.Transient = true })
	c, err := create(t, s, container.CreateOptions{ID: "c", BigData: []container.BigDatum{{Key: "k"}}}, container.Place{})
	must(t, err)
	if !c.Transient || !c.Volatile() {
		t.Errorf("container %+v", c)
	}
	for _, name := range []string{"volatile-containers.json", "containers.lock"} {
		if _, err := os.Stat(filepath.Join(opts.RunDir, name)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(opts.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is in the graph root: %v", name, err)
		}
	}
	must(t, change(t, s, func(tx *container.WriteTx) error { return tx.Delete("c") }))
	if _, err := os.Stat(s.DataDir("c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data stays: %v", err)
	}
}

func TestDataAndDirectories(t *testing.T) {
	s, opts := open(t)
	_, err := create(t, s, container.CreateOptions{ID: "c"}, container.Place{})
	must(t, err)
	for _, run := range []bool{false, true} {
		dir, err := s.UserDir("c", run)
		must(t, err)
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 || filepath.Base(dir) != "userdata" {
			t.Errorf("directory %s: %v, %v", dir, info, err)
		}
	}
	for _, data := range []string{"one", ""} {
		it, err := s.StageItem(t.Context(), container.BigDatum{Key: "A_b", Data: []byte(data)})
		must(t, err)
		must(t, change(t, s, func(tx *container.WriteTx) error { return tx.SetBigData("c", it) }))
		must(t, it.Discard())
		view(t, s, func(tx *container.ReadTx) {
			c, err := tx.Get("c")
			must(t, err)
			f, err := tx.OpenBigData("c", "A_b")
			must(t, err)
			got, err := io.ReadAll(f)
			must(t, f.Close())
			n, sizeErr := c.ItemSize("A_b")
			if err != nil || string(got) != data || sizeErr != nil || n != int64(len(data)) {
				t.Errorf("item %q, %v; size %d, %v", got, err, n, sizeErr)
			}
		})
	}
	it, err := s.StageItem(t.Context(), container.BigDatum{Key: "k"})
	must(t, err)
	if err := change(t, s, func(tx *container.WriteTx) error { return tx.SetBigData("none", it) }); !errors.Is(err, container.ErrUnknown) {
		t.Errorf("item for an unknown container: %v", err)
	}
	must(t, it.Discard())
	must(t, change(t, s, func(tx *container.WriteTx) error { return tx.Delete("c") }))
	var left []string
	for _, dir := range []string{opts.Dir, opts.RunDir} {
		entries, err := os.ReadDir(dir)
		must(t, err)
		for _, e := range entries {
			left = append(left, e.Name())
		}
	}
	if d := cmp.Diff([]string{"containers.json", "containers.lock"}, left, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("left behind (-want +got):\n%s", d)
	}
}
