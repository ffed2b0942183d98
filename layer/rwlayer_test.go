package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

func createRW(t testing.TB, c *ChainStore, name string, parent *Ref, opts RWOptions) *RWRef {
	t.Helper()
	var chain ChainID
	if parent != nil {
		chain = parent.ChainID()
	}
	r, err := c.CreateRWLayer(context.Background(), name, chain, opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func releaseRW(t testing.TB, c *ChainStore, r *RWRef, want ...*Ref) {
	t.Helper()
	removed, err := c.ReleaseRWLayer(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	wantRemoved(t, removed, want...)
}

// inMount runs f in the mounted layer.
func inMount(t testing.TB, r *RWRef, f func(dir string)) {
	t.Helper()
	dir, err := r.Mount(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	f(dir)
	if err := r.Unmount(context.Background()); err != nil {
		t.Error(err)
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// putHosts is what engines do in an init layer.
func putHosts(_ context.Context, path string) error {
	return errors.Join(os.MkdirAll(filepath.Join(path, "etc"), 0o755), os.WriteFile(filepath.Join(path, "etc/hosts"), []byte("::1 self\n"), 0o600))
}

func TestRWLayerKeepsItsParents(t *testing.T) {
	for name, init := range map[string]func(context.Context, string) error{"plain": nil, "with init layer": putHosts} {
		t.Run(name, func(t *testing.T) {
			eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
				a := register(t, c, nil, "a")
				b := register(t, c, a, "b")
				top := register(t, c, b, "c")
				m := createRW(t, c, "m", top, RWOptions{Init: init})
				if m.Name() != "m" || m.Parent().ChainID() != top.ChainID() {
					t.Errorf("%s on %s", m.Name(), m.Parent().ChainID())
				}
				release(t, c, a)
				release(t, c, b)
				release(t, c, top)
				releaseRW(t, c, m, top, b, a)
				releaseRW(t, c, m) // no such name any more
				if ids := listIDs(t, c.store); len(ids) != 0 {
					t.Errorf("layers %v", ids)
				}
			})
		})
	}
}

func TestRWLayerChanges(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		base, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			t.Fatal(err)
		}
		m := createRW(t, c, "m", base, RWOptions{Init: putHosts})
		inMount(t, m, func(dir string) {
			if data, err := os.ReadFile(filepath.Join(dir, "etc/hosts")); err != nil || string(data) != "::1 self\n" {
				t.Errorf("init layer's file: %q, %v", data, err)
			}
			writeFile(t, filepath.Join(dir, "new"), "12345")
			if err := os.Remove(filepath.Join(dir, "x")); err != nil {
				t.Error(err)
			}
		})
		changes, err := m.Changes(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ch := range changes {
			got = append(got, ch.Kind.String()+" "+ch.Path)
		}
		if want := []string{archive.Added.String() + " /new", archive.Deleted.String() + " /x"}; !slices.Equal(withoutRoot(got), want) {
			t.Errorf("changes %v, want %v", got, want)
		}
		if size, err := m.Size(ctx); err != nil || size != 5 {
			t.Errorf("size %d, %v", size, err)
		}
		names := tarNames(t, readAll(t, m.TarStream))
		if !slices.Contains(names, "new") || !slices.Contains(names, ".wh.x") || slices.Contains(names, "etc/hosts") {
			t.Errorf("tar with %v", names)
		}
		if md, err := m.Metadata(ctx); err != nil || len(md) == 0 {
			t.Errorf("metadata %v, %v", md, err)
		}
		release(t, c, base)
		releaseRW(t, c, m, base)
	})
}

// withoutRoot leaves out the root directory, whose own times may have changed.
func withoutRoot(changes []string) []string {
	return slices.DeleteFunc(slices.Clone(changes), func(c string) bool { return strings.HasSuffix(c, " /") })
}

func TestApplyDiffOnRWLayers(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		base, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			t.Fatal(err)
		}
		m := createRW(t, c, "m", base, RWOptions{})
		if n, err := m.ApplyDiff(ctx, bytes.NewReader(gzipped(t, upperTar(t)))); err != nil || n != 4 {
			t.Errorf("applied %d bytes, %v", n, err)
		}
		if l := get(t, c.store, m.MountID()); l.DiffID != "" || l.Chain != "" {
			t.Errorf("the layer that goes on changing has digest %s", l.DiffID)
		}
		inMount(t, m, func(dir string) {
			for name, there := range map[string]bool{"opq/new": true, "opq/old": false, "etc/gone": false, "etc/hello": true} {
				if _, err := os.Lstat(filepath.Join(dir, name)); (err == nil) != there {
					t.Errorf("%s: %v", name, err)
				}
			}
			writeFile(t, filepath.Join(dir, "opq/new"), "changed since")
		})
		if names := tarNames(t, readAll(t, m.TarStream)); !slices.Contains(names, "opq/new") {
			t.Errorf("tar with %v", names)
		}
		if _, err := m.ApplyDiff(ctx, strings.NewReader("no tar at all, but long enough to look like one")); err == nil {
			t.Error("applied nonsense")
		}
	})
}

func TestMountsAreCounted(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		m := createRW(t, c, "m", register(t, c, nil, "a"), RWOptions{})
		first, err := m.Mount(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := m.Mount(ctx, "")
		if err != nil || second != first {
			t.Errorf("mounted at %s and %s, %v", first, second, err)
		}
		for range 2 {
			if _, err := c.ReleaseRWLayer(ctx, m); !errors.Is(err, ErrMounted) || !errors.Is(err, errdefs.ErrInUse) {
				t.Errorf("release while mounted: %v", err)
			}
			if err := m.Unmount(ctx); err != nil {
				t.Fatal(err)
			}
		}
		releaseRW(t, c, m)
	})
}

func TestNamesOfRWLayers(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		a := register(t, c, nil, "a")
		m := createRW(t, c, "m", a, RWOptions{Init: putHosts})
		if _, err := c.CreateRWLayer(ctx, "m", "", RWOptions{}); !errors.Is(err, ErrMountExists) {
			t.Errorf("same name: %v", err)
		}
		for _, name := range []string{"", "a\nb", "a\x00"} {
			if _, err := c.CreateRWLayer(ctx, name, "", RWOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("name %q: %v", name, err)
			}
		}
		if id, err := c.MountID(ctx, "m"); err != nil || id != m.MountID() || len(id) != 64 {
			t.Errorf("mount ID %s, %v", id, err)
		}
		for _, name := range []string{"n", "", string(m.MountID())} {
			if _, err := c.MountID(ctx, name); !errors.Is(err, ErrNoMount) {
				t.Errorf("mount ID of %q: %v", name, err)
			}
			if _, err := c.GetRWLayer(ctx, name); !errors.Is(err, ErrNoMount) {
				t.Errorf("get of %q: %v", name, err)
			}
		}
		if init := get(t, c.store, m.MountID()+"-init"); init.Parent != a.CacheID() {
			t.Errorf("init layer on %s", init.Parent)
		}
		again, err := c.GetRWLayer(ctx, "m")
		if err != nil || again.MountID() != m.MountID() || again.Parent().ChainID() != a.ChainID() {
			t.Fatalf("%v, %v", again, err)
		}
		releaseRW(t, c, m)
		if _, err := c.ReleaseRWLayer(ctx, m); !errors.Is(err, ErrNotRetained) {
			t.Errorf("second release: %v", err)
		}
		if _, err := c.ReleaseRWLayer(ctx, nil); !errors.Is(err, ErrNotRetained) {
			t.Errorf("release of nil: %v", err)
		}
		release(t, c, a)
		releaseRW(t, c, again, a)
	})
}

// Of many who want one name at once, one gets it, and nothing of the others stays.
func TestOneOfManyGetsTheName(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		stores := []*ChainStore{c, e.chainStore(t, c.store, nil)} // two that do not share locks on names
		var won []*RWRef
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				r, err := stores[i%2].CreateRWLayer(context.Background(), "m", a.ChainID(), RWOptions{Init: putHosts})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won = append(won, r)
				case !errors.Is(err, ErrMountExists):
					t.Error(err)
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Errorf("%d got the name", len(won))
		}
		if ids := listIDs(t, c.store); len(ids) != 3 {
			t.Errorf("layers %v", ids)
		}
	})
}

// failingCreate is a driver that refuses to make some layers.
type failingCreate struct {
	bare
	fails func(graphdriver.ID) bool
}

var errNoRoom = errors.New("no room")

func (d *failingCreate) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if d.fails(id) {
		return errNoRoom
	}
	return d.bare.Create(ctx, id, parent, opts)
}

func TestFailedRWLayersLeaveNothing(t *testing.T) {
	isInit := func(id graphdriver.ID) bool { return strings.HasSuffix(string(id), "-init") }
	badInit := errors.New("bad init")
	tests := []struct {
		name  string
		fails func(graphdriver.ID) bool
		init  func(context.Context, string) error
		want  error
	}{
		{"the init layer", isInit, putHosts, errNoRoom},
		{"the read-write layer", func(id graphdriver.ID) bool { return !isInit(id) }, putHosts, errNoRoom},
		{"filling the init layer", func(graphdriver.ID) bool { return false }, func(context.Context, string) error { return badInit }, badInit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, e *env) {
				d := &failingCreate{fails: func(graphdriver.ID) bool { return false }}
				e.wrap = func(real graphdriver.Driver) graphdriver.Driver { d.bare = bare{real}; return d }
				c := e.chainStore(t, e.open(t), nil)
				a := register(t, c, nil, "a")
				d.fails = tt.fails
				if _, err := c.CreateRWLayer(context.Background(), "m", a.ChainID(), RWOptions{Init: tt.init}); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if ids := listIDs(t, c.store); len(ids) != 1 {
					t.Errorf("layers %v", ids)
				}
				if _, err := c.MountID(context.Background(), "m"); !errors.Is(err, ErrNoMount) {
					t.Errorf("the name: %v", err)
				}
				d.fails = func(graphdriver.ID) bool { return false }
				createRW(t, c, "m", nil, RWOptions{})
				release(t, c, a, a)
			})
		})
	}
}

func TestCancelledRWLayersLeaveNothing(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		ctx, cancel := context.WithCancel(context.Background())
		_, err := c.CreateRWLayer(ctx, "m", a.ChainID(), RWOptions{Init: func(context.Context, string) error { cancel(); return nil }})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		release(t, c, a, a)
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestContainersKeepRWLayers(t *testing.T) {
	e := newEnv(t, "vfs")
	users := &fakeUsers{of: map[ID]string{}}
	c := e.chainStore(t, e.open(t), users)
	m := createRW(t, c, "m", nil, RWOptions{})
	users.of[m.MountID()] = "container 1"
	if _, err := c.ReleaseRWLayer(context.Background(), m); !errors.Is(err, errdefs.ErrInUse) {
		t.Errorf("release: %v", err)
	}
	users.of = nil
	releaseRW(t, c, m)
}

// Names, init layers and marks are flags, which all engines keep.
func TestRecordsOfRWLayers(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		m := createRW(t, c, "the \"name\"", a, RWOptions{Init: putHosts})
		l, init := get(t, c.store, m.MountID()), get(t, c.store, m.MountID()+"-init")
		if l.RWName() != "the \"name\"" || l.Collectable() || init.initOf() != l.ID || init.RWName() != "" {
			t.Errorf("flags %s and %s", l.Flags, init.Flags)
		}
		if r := get(t, c.store, a.CacheID()); !r.Collectable() || r.RWName() != "" || len(r.Names) != 0 {
			t.Errorf("flags %s", r.Flags)
		}
		odd := Record{Flags: map[string]json.RawMessage{flagRWName: json.RawMessage("7")}}
		if odd.RWName() != "" {
			t.Errorf("a number is a name: %s", odd.RWName())
		}
	})
}
