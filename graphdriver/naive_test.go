package graphdriver_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
)

// counting is a ProtoDriver over plain directories that counts what is mounted.
type counting struct {
	graphdriver.ProtoDriver
	dirs map[graphdriver.ID]string

	mu      sync.Mutex
	mounted map[graphdriver.ID]int
	gets    int
	failGet graphdriver.ID
	failPut graphdriver.ID
}

func (c *counting) Get(_ context.Context, id graphdriver.ID, _ graphdriver.MountOptions) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == c.failGet {
		return "", errHard
	}
	if c.mounted == nil {
		c.mounted = map[graphdriver.ID]int{}
	}
	c.gets++
	c.mounted[id]++
	return c.dirs[id], nil
}

func (c *counting) Put(ctx context.Context, id graphdriver.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err // stays mounted, as with a driver that gives up
	}
	c.mounted[id]--
	if id == c.failPut {
		return errHard
	}
	return nil
}

func (c *counting) count(id graphdriver.ID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mounted[id]
}

// twoLayers is a parent with files and a layer that changed, added and removed some.
func twoLayers(t *testing.T) *counting {
	t.Helper()
	parent, layer := filepath.Join(t.TempDir(), "parent"), filepath.Join(t.TempDir(), "layer")
	for dir, files := range map[string]map[string]string{
		parent: {"etc/same": "1", "etc/changed": "1", "gone/deep/file": "1"},
		layer:  {"etc/same": "1", "etc/changed": "22", "new/file": "333"},
	} {
		for name, content := range files {
			path := filepath.Join(dir, name)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	same, err := os.Stat(filepath.Join(parent, "etc/same"))
	must(t, err)
	must(t, os.Chtimes(filepath.Join(layer, "etc/same"), same.ModTime(), same.ModTime()))
	return &counting{dirs: map[graphdriver.ID]string{"parent": parent, "layer": layer, "missing": filepath.Join(parent, "nowhere")}}
}

func tarNames(t *testing.T, r io.Reader) []string {
	t.Helper()
	var names []string
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return names
		}
		must(t, err)
		names = append(names, h.Name)
	}
}

func TestNaiveDiff(t *testing.T) {
	tests := []struct {
		name   string
		parent graphdriver.ID
		want   []string
	}{
		{"whole tree", "", []string{"etc/", "etc/changed", "etc/same", "new/", "new/file"}},
		{"against parent", "parent", []string{".wh.gone", "etc/", "etc/changed", "new/", "new/file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := twoLayers(t)
			r, err := graphdriver.NaiveDiff(c, graphdriver.NaiveOptions{}).Diff(t.Context(), "layer", tt.parent, graphdriver.DiffOptions{})
			must(t, err)
			if c.count("parent") != 0 || c.count("layer") != 1 {
				t.Errorf("while streaming: parent mounted %d times, layer %d; want 0, 1", c.count("parent"), c.count("layer"))
			}
			names := tarNames(t, r)
			if slices.Sort(names); !slices.Equal(names, tt.want) {
				t.Errorf("entries %q, want %q", names, tt.want)
			}
			must(t, r.Close())
			must(t, r.Close())
			if c.count("layer") != 0 {
				t.Errorf("after Close the layer is mounted %d times", c.count("layer"))
			}
		})
	}
}

func TestNaiveChangesAndSize(t *testing.T) {
	c := twoLayers(t)
	d := graphdriver.NaiveDiff(c, graphdriver.NaiveOptions{})
	changes, err := d.Changes(t.Context(), "layer", "parent", graphdriver.DiffOptions{})
	must(t, err)
	want := []archive.Change{
		{Path: "/etc", Kind: archive.Modified},
		{Path: "/etc/changed", Kind: archive.Modified},
		{Path: "/gone", Kind: archive.Deleted},
		{Path: "/new", Kind: archive.Added},
		{Path: "/new/file", Kind: archive.Added},
	}
	if !slices.Equal(changes, want) {
		t.Errorf("changes %v, want %v", changes, want)
	}
	for parent, want := range map[graphdriver.ID]int64{"parent": 5, "": 6} {
		if n, err := d.DiffSize(t.Context(), "layer", parent, graphdriver.DiffOptions{}); err != nil || n != want {
			t.Errorf("size against %q = %d, %v; want %d", parent, n, err, want)
		}
	}
}

func TestNaiveApply(t *testing.T) {
	c := twoLayers(t)
	d := graphdriver.NaiveDiff(c, graphdriver.NaiveOptions{})
	r, err := d.Diff(t.Context(), "layer", "parent", graphdriver.DiffOptions{})
	must(t, err)
	n, err := d.ApplyDiff(t.Context(), "parent", "", r, graphdriver.ApplyOptions{})
	if err != nil || n != 5 {
		t.Fatalf("applied %d bytes, %v; want 5", n, err)
	}
	must(t, r.Close())
	changes, err := d.Changes(t.Context(), "parent", "layer", graphdriver.DiffOptions{})
	if err != nil || len(changes) != 0 {
		t.Errorf("parent plus diff differs from the layer: %v, %v", changes, err)
	}
}

// TestNaivePutsOnEveryPath fails each step in turn; nothing may stay mounted.
func TestNaivePutsOnEveryPath(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	type call = func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error
	calls := map[string]call{
		"Diff": func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error {
			r, err := d.Diff(ctx, id, parent, graphdriver.DiffOptions{})
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return errors.Join(err, r.Close())
		},
		"Diff closed early": func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error {
			r, err := d.Diff(ctx, id, parent, graphdriver.DiffOptions{})
			if err != nil {
				return err
			}
			_, err = r.Read(make([]byte, 10))
			return errors.Join(err, r.Close())
		},
		"Changes": func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error {
			_, err := d.Changes(ctx, id, parent, graphdriver.DiffOptions{})
			return err
		},
		"DiffSize": func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error {
			_, err := d.DiffSize(ctx, id, parent, graphdriver.DiffOptions{})
			return err
		},
		"ApplyDiff": func(ctx context.Context, d graphdriver.Driver, id, parent graphdriver.ID) error {
			_, err := d.ApplyDiff(ctx, id, parent, strings.NewReader(strings.Repeat("not a tar", 1000)), graphdriver.ApplyOptions{})
			return err
		},
	}
	tests := []struct {
		name       string
		ctx        context.Context
		id, parent graphdriver.ID
		sabotage   func(*counting)
		want       error // nil: any or none
	}{
		{name: "layer not mountable", id: "layer", parent: "parent", sabotage: func(c *counting) { c.failGet = "layer" }, want: errHard},
		{name: "parent not mountable", id: "layer", parent: "parent", sabotage: func(c *counting) { c.failGet = "parent" }},
		{name: "layer not unmountable", id: "layer", parent: "parent", sabotage: func(c *counting) { c.failPut = "layer" }, want: errHard},
		{name: "parent not unmountable", id: "layer", parent: "parent", sabotage: func(c *counting) { c.failPut = "parent" }},
		{name: "parent unreadable", id: "layer", parent: "missing", sabotage: func(*counting) {}},
		{name: "layer unreadable", id: "missing", parent: "parent", sabotage: func(*counting) {}, want: fs.ErrNotExist},
		{name: "layer unreadable, no parent", id: "missing", sabotage: func(*counting) {}, want: fs.ErrNotExist},
		{name: "cancelled", ctx: cancelled, id: "layer", parent: "parent", sabotage: func(*counting) {}, want: context.Canceled},
		{name: "cancelled, no parent", ctx: cancelled, id: "layer", sabotage: func(*counting) {}, want: context.Canceled},
	}
	for _, tt := range tests {
		for name, call := range calls {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				c := twoLayers(t)
				tt.sabotage(c)
				ctx := tt.ctx
				if ctx == nil {
					ctx = t.Context()
				}
				err := call(ctx, graphdriver.NaiveDiff(c, graphdriver.NaiveOptions{}), tt.id, tt.parent)
				if tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("error = %v, want %v", err, tt.want)
				}
				if err == nil && tt.parent == "missing" && name != "ApplyDiff" {
					t.Error("no error")
				}
				for id, n := range c.mounted {
					if n != 0 {
						t.Errorf("%s stays mounted %d times", id, n)
					}
				}
			})
		}
	}
}

func TestNaiveKeepsProtoDriver(t *testing.T) {
	c := twoLayers(t)
	d := graphdriver.NaiveDiff(c, graphdriver.NaiveOptions{})
	if dir, err := d.Get(t.Context(), "layer", graphdriver.MountOptions{}); err != nil || dir != c.dirs["layer"] {
		t.Fatalf("Get = %q, %v", dir, err)
	}
	must(t, d.Put(t.Context(), "layer"))
	if c.gets != 1 {
		t.Errorf("%d gets", c.gets)
	}
}
