package graphdriver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// named is a driver that only knows what it is called.
type named struct {
	graphdriver.Driver
	name string
}

func (n named) Name() string { return n.name }

var errHard = errors.New("input/output error")

// results maps driver names to what their init returns.
type results map[string]error

// registry returns a table of fake drivers; opened collects the Configs that they got.
func registry(t *testing.T, init results, opened *[]graphdriver.Config) *graphdriver.Registry {
	t.Helper()
	r := graphdriver.NewRegistry()
	for name, err := range init {
		must(t, r.Register(name, func(_ context.Context, cfg graphdriver.Config) (graphdriver.Driver, error) {
			if opened != nil {
				*opened = append(*opened, cfg)
			}
			// What a driver makes before it knows better.
			must(t, os.MkdirAll(filepath.Join(cfg.Home, "l"), 0o700))
			if err != nil {
				return nil, err
			}
			return named{name: name}, nil
		}))
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// state makes what an earlier run left: "btrfs", or "btrfs/" for an empty directory.
func state(t *testing.T, root string, drivers ...string) {
	t.Helper()
	for _, d := range drivers {
		name, empty := strings.CutSuffix(d, "/")
		must(t, os.MkdirAll(filepath.Join(root, name), 0o700))
		if strings.HasSuffix(name, "-layers") {
			must(t, os.WriteFile(filepath.Join(root, name, "layers.json"), []byte(`[{"id":"a"}]`), 0o600))
		} else if !empty {
			must(t, os.MkdirAll(filepath.Join(root, name, "layer"), 0o700))
		}
	}
}

// TestChoice is the table of docker-layers-and-volumes, B.3, with strata's one change (a lone vfs
// state is reused) and the rules of on-disk format 8.5 added.
func TestChoice(t *testing.T) {
	ns := fmt.Errorf("probe: %w", graphdriver.ErrNotSupported)
	tests := []struct {
		name           string
		state          []string
		overlay, btrfs error
		wanted         string
		priority       []string
		want           string
		err            error
		says           []string // in the reason, or in the error
	}{
		{name: "nothing there", want: "overlay", says: []string{"priority"}},
		{name: "first not supported", overlay: ns, want: "btrfs", says: []string{"probe", "works here"}},
		{name: "first fails hard", overlay: errHard, err: errHard, says: []string{"overlay"}},
		{name: "only vfs works", overlay: ns, btrfs: graphdriver.ErrPrerequisites, want: "vfs", says: []string{"overlay", "btrfs", "copies"}},
		{name: "vfs state alone is reused", state: []string{"vfs"}, want: "vfs", says: []string{"vfs has its layers", "no other driver"}},
		{name: "empty vfs folder is no state", state: []string{"vfs/"}, want: "overlay"},
		{name: "btrfs state", state: []string{"btrfs"}, want: "btrfs", says: []string{"has its layers in"}},
		{name: "btrfs state not supported", state: []string{"btrfs"}, btrfs: ns, err: graphdriver.ErrNotSupported, says: []string{"btrfs"}},
		{name: "btrfs state fails hard", state: []string{"btrfs"}, btrfs: errHard, err: errHard},
		{name: "two states", state: []string{"overlay", "btrfs"}, err: errdefs.ErrInvalid, says: []string{"contains several valid graphdrivers: btrfs, overlay;"}},
		{name: "two states, one wanted", state: []string{"overlay", "btrfs"}, wanted: "btrfs", want: "btrfs", says: []string{"by name"}},
		{name: "overlay beside vfs", state: []string{"overlay", "vfs"}, want: "overlay", says: []string{"not visible"}},
		{name: "empty overlay folder", state: []string{"overlay/"}, want: "overlay", says: []string{"priority"}},
		{name: "unregistered state is nobody's", state: []string{"zfs"}, want: "overlay"},
		{name: "a plugin's layers", state: []string{"fast-layers"}, err: errdefs.ErrInvalid, says: []string{"holds layers of the storage driver fast,"}},
		{name: "a plugin's layers beside vfs", state: []string{"fast-layers", "vfs"}, err: errdefs.ErrInvalid, says: []string{"driver fast,"}},
		{name: "a plugin's layers beside overlay", state: []string{"fast-layers", "overlay"}, want: "overlay"},
		{name: "a plugin's layers, overlay wanted", state: []string{"fast-layers"}, wanted: "overlay", want: "overlay"},
		{name: "another engine's layers", state: []string{"zfs", "zfs-layers"}, err: errdefs.ErrInvalid, says: []string{"driver zfs,"}},
		{name: "records without layers", state: []string{"zfs-layers"}, want: "overlay"},
		{name: "registered driver without layers", state: []string{"overlay-layers"}, want: "overlay"},
		{name: "unknown name", state: []string{"btrfs"}, wanted: "nosuch", err: graphdriver.ErrNotSupported, says: []string{"nosuch"}},
		{name: "removed name", wanted: "aufs", err: graphdriver.ErrNotSupported, says: []string{"removed"}},
		{name: "alias", wanted: "overlay2", want: "overlay"},
		{name: "named one not supported", wanted: "overlay", overlay: ns, err: graphdriver.ErrNotSupported, says: []string{"overlay"}},
		{name: "vfs by name", wanted: "vfs", want: "vfs", says: []string{"by name"}},
		{name: "own order", priority: []string{"btrfs", "overlay2"}, want: "btrfs"},
		{name: "own order by alias", priority: []string{"overlay2", "btrfs"}, want: "overlay"},
		{name: "own order without vfs does not end there", priority: []string{"overlay", "btrfs"}, overlay: ns, btrfs: ns,
			err: graphdriver.ErrNotSupported, says: []string{"no supported storage driver found", "overlay", "btrfs"}},
		{name: "rest of the registered ones", priority: []string{"btrfs"}, btrfs: ns, want: "overlay"},
		{name: "vfs in own order", priority: []string{"vfs", "overlay"}, want: "vfs"},
		{name: "vfs state named in priority", priority: []string{"overlay", "vfs"}, state: []string{"vfs"}, want: "vfs"},
		{name: "vfs state named in priority beside overlay", priority: []string{"overlay", "vfs"}, state: []string{"vfs", "overlay"},
			err: errdefs.ErrInvalid, says: []string{"overlay, vfs"}},
		{name: "unknown names in own order", priority: []string{"zfs", "btrfs"}, want: "btrfs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			state(t, root, tt.state...)
			r := registry(t, results{"overlay": tt.overlay, "btrfs": tt.btrfs, "vfs": nil}, nil)
			d, reason, err := r.Open(t.Context(), graphdriver.Choice{
				Root: root, RunRoot: t.TempDir(), Name: tt.wanted, Priority: tt.priority,
			})
			text := reason
			if tt.err != nil {
				if !errors.Is(err, tt.err) || d != nil {
					t.Fatalf("driver %v, error %v; want %v", d, err, tt.err)
				}
				text = err.Error()
			} else if err != nil || d.Name() != tt.want {
				t.Fatalf("driver %v, error %v; want %s", d, err, tt.want)
			}
			for _, s := range tt.says {
				if !strings.Contains(text, s) {
					t.Errorf("%q does not say %q", text, s)
				}
			}
		})
	}
}

// TestRefusedChoiceLeavesNothing: neither a choice that is refused nor a driver that was passed
// over may leave what looks like state next time.
func TestRefusedChoiceLeavesNothing(t *testing.T) {
	tests := []struct {
		name  string
		state []string
		init  results
		want  []string
	}{
		{"passed over", nil, results{"overlay": graphdriver.ErrNotSupported, "vfs": nil}, []string{"vfs"}},
		{"passed over, folder was there", []string{"overlay/"}, results{"overlay": graphdriver.ErrNotSupported, "vfs": nil}, []string{"overlay", "vfs"}},
		{"several", []string{"overlay", "btrfs"}, results{"overlay": nil, "btrfs": nil, "vfs": nil}, []string{"btrfs", "overlay"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			state(t, root, tt.state...)
			var opened []graphdriver.Config
			_, _, err := registry(t, tt.init, &opened).Open(t.Context(), graphdriver.Choice{Root: root, RunRoot: root})
			if tt.name == "several" && (err == nil || len(opened) != 0 || !strings.Contains(errdefs.Hint(err), "driver in storage.conf: btrfs or overlay")) {
				t.Errorf("error %v, hint %q, opened %d", err, errdefs.Hint(err), len(opened))
			}
			entries, err := os.ReadDir(root)
			must(t, err)
			var got []string
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("root holds %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEmptyForeignState: a plugin without layers hides nothing.
func TestEmptyForeignState(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"a": "[]", "b": "[]\n", "c": ""} {
		must(t, os.MkdirAll(filepath.Join(root, name+"-layers"), 0o700))
		must(t, os.WriteFile(filepath.Join(root, name+"-layers", "layers.json"), []byte(text), 0o600))
	}
	must(t, os.MkdirAll(filepath.Join(root, "d-layers"), 0o700))
	must(t, os.WriteFile(filepath.Join(root, "e-layers"), []byte("no directory"), 0o600))
	d, _, err := registry(t, results{"overlay": nil}, nil).Open(t.Context(), graphdriver.Choice{Root: root, RunRoot: root})
	if err != nil || d.Name() != "overlay" {
		t.Errorf("driver %v, %v", d, err)
	}
}

func TestRegister(t *testing.T) {
	ok := func(context.Context, graphdriver.Config) (graphdriver.Driver, error) {
		return named{name: "first"}, nil
	}
	r := graphdriver.NewRegistry()
	must(t, r.Register("x", ok))
	tests := []struct {
		name string
		init graphdriver.Init
		want error
	}{
		{"x", func(context.Context, graphdriver.Config) (graphdriver.Driver, error) { return nil, errHard }, errdefs.ErrExists},
		{"", ok, errdefs.ErrInvalid},
		{"a/b", ok, errdefs.ErrInvalid},
		{"..", ok, errdefs.ErrInvalid},
		{"nil", nil, errdefs.ErrInvalid},
	}
	for _, tt := range tests {
		if err := r.Register(tt.name, tt.init); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.name) {
			t.Errorf("Register(%q) = %v, want %v with the name", tt.name, err, tt.want)
		}
	}
	if got := r.Names(); !slices.Equal(got, []string{"x"}) {
		t.Errorf("Names = %q", got)
	}
	d, _, err := r.Open(t.Context(), graphdriver.Choice{Root: t.TempDir(), RunRoot: t.TempDir(), Name: "x"})
	if err != nil || d.Name() != "first" {
		t.Errorf("the first registration did not stay: %v, %v", d, err)
	}
}

func TestConfigOfChosenDriver(t *testing.T) {
	root, run, image := t.TempDir(), t.TempDir(), t.TempDir()
	var opened []graphdriver.Config
	r := registry(t, results{"overlay": nil, "vfs": nil}, &opened)
	_, _, err := r.Open(t.Context(), graphdriver.Choice{
		Root: root, RunRoot: run, ImageRoot: image, AdditionalRoots: []string{"/ro/a"}, Name: "overlay2",
		Options: []string{
			"overlay.MountOpt=nodev,x=y", ".imagestore=/ro/b,/ro/a/", "size=10G", "vfs.sync=none", "Overlay2.k = v.w ",
			"vfs.imagestore=/ro/vfs", "zfs.fsname=a", "imagestore=/ro/c",
		},
		Sync: graphdriver.SyncNone, Rootless: true, DisableIDMap: true,
	})
	must(t, err)
	got := opened[0]
	var options []string
	for _, o := range got.Options {
		options = append(options, o.Key+"="+o.Value)
	}
	checks := []struct{ what, got, want string }{
		{"home", got.Home, filepath.Join(root, "overlay")},
		{"run home", got.RunHome, filepath.Join(run, "overlay")},
		{"image home", got.ImageHome, filepath.Join(image, "overlay")},
		{"additional homes", strings.Join(got.AdditionalHomes, " "), "/ro/a/overlay /ro/b/overlay /ro/c/overlay"},
		{"options", strings.Join(options, " "), "mountopt=nodev,x=y size=10G k=v.w"},
		{"flags", fmt.Sprint(got.Root == root, got.Sync, got.Rootless, got.DisableIDMap), "true 1 true true"},
	}
	for _, c := range checks {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
}

func TestBadChoice(t *testing.T) {
	tests := []struct {
		name   string
		change func(*graphdriver.Choice)
		says   string
	}{
		{"unknown prefix", func(c *graphdriver.Choice) { c.Options = []string{"ovrelay.size=1"} }, `"ovrelay"`},
		{"no value", func(c *graphdriver.Choice) { c.Options = []string{"overlay.size"} }, "key=value"},
		{"no key", func(c *graphdriver.Choice) { c.Options = []string{"=1"} }, "key=value"},
		{"dot only", func(c *graphdriver.Choice) { c.Options = []string{"overlay.=1"} }, "key=value"},
		{"relative store", func(c *graphdriver.Choice) { c.AdditionalRoots = []string{"a"} }, "absolute"},
		{"relative store option", func(c *graphdriver.Choice) { c.Options = []string{"imagestore=a"} }, "absolute"},
		{"relative root", func(c *graphdriver.Choice) { c.Root = "a" }, "graph root"},
		{"no run root", func(c *graphdriver.Choice) { c.RunRoot = "" }, "run root"},
		{"image store is graph root", func(c *graphdriver.Choice) { c.ImageRoot = c.Root + "/" }, "is the graph root"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := graphdriver.Choice{Root: t.TempDir(), RunRoot: t.TempDir()}
			root := c.Root
			tt.change(&c)
			_, _, err := registry(t, results{"overlay": nil}, nil).Open(t.Context(), c)
			if !errors.Is(err, errdefs.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error = %v, want ErrInvalid that says %q", err, tt.says)
			}
			if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
				t.Errorf("left %v, %v", entries, err)
			}
		})
	}
}
