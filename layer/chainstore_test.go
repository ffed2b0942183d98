package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/lease"
	"github.com/stratastore/strata/internal/testutil"
)

func TestReleaseCascades(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		b := register(t, c, a, "b")
		top := register(t, c, b, "c")
		release(t, c, a)
		release(t, c, b)
		release(t, c, top, top, b, a)
		release(t, c, top) // unknown by now
		if ids := listIDs(t, c.store); len(ids) != 0 {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestTheLastOfSeveralReferencesRemoves(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		top := register(t, c, a, "c")
		release(t, c, a)
		again := []*Ref{top}
		for range 2 {
			r, err := c.Get(context.Background(), top.ChainID())
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, r)
		}
		release(t, c, again[1])
		release(t, c, again[0])
		release(t, c, again[2], top, a)
	})
}

func TestNotRetained(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		a := register(t, c, nil, "a")
		second, err := c.Get(ctx, a.ChainID())
		if err != nil {
			t.Fatal(err)
		}
		release(t, c, a)
		other := e.chainStore(t, c.store, nil)
		for name, r := range map[string]struct {
			c   *ChainStore
			ref *Ref
		}{"twice": {c, a}, "another's": {other, second}, "made up": {c, &Ref{second.ReadOnly}}, "nil": {c, nil}, "empty": {c, &Ref{}}} {
			if removed, err := r.c.Release(ctx, r.ref); !errors.Is(err, ErrNotRetained) || len(removed) != 0 {
				t.Errorf("%s: %v, %v", name, removed, err)
			}
		}
		release(t, c, second, second)
	})
}

func TestChainStoreErrorsAreDistinct(t *testing.T) {
	all := map[error]error{
		ErrNoLayer: errdefs.ErrNotFound, ErrNotRetained: errdefs.ErrInvalid, ErrNoMount: errdefs.ErrNotFound,
		ErrMountExists: errdefs.ErrExists, ErrMaxDepth: errdefs.ErrLimit,
	}
	for err, kind := range all {
		if !errors.Is(err, kind) {
			t.Errorf("%v is no %v", err, kind)
		}
		for other := range all {
			if err != other && errors.Is(err, other) { //nolint:errorlint // identity is the question
				t.Errorf("%v is %v", err, other)
			}
		}
	}
}

func TestUnknownChains(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		ctx := context.Background()
		if _, err := c.Get(ctx, "sha256:00"); !errors.Is(err, ErrNoLayer) {
			t.Errorf("get: %v", err)
		}
		if _, err := c.Get(ctx, ""); !errors.Is(err, ErrNoLayer) {
			t.Errorf("get of nothing: %v", err)
		}
		if _, err := c.Register(ctx, bytes.NewReader(numbered(t, "a")), "sha256:00"); !errors.Is(err, ErrNoLayer) {
			t.Errorf("register: %v", err)
		}
		if _, err := c.CreateRWLayer(ctx, "m", "sha256:00", RWOptions{}); !errors.Is(err, ErrNoLayer) {
			t.Errorf("read-write layer: %v", err)
		}
	})
}

func TestWhatAReadOnlyLayerTells(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		ctx := context.Background()
		a, err := c.Register(ctx, bytes.NewReader(baseTar(t)), "")
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Register(ctx, bytes.NewReader(upperTar(t)), a.ChainID())
		if err != nil {
			t.Fatal(err)
		}
		if a.Parent() != nil || b.Parent().ChainID() != a.ChainID() || b.Parent().Parent() != nil {
			t.Error("parents are wrong")
		}
		if want := DiffID(testutil.Digest(upperTar(t))); b.DiffID() != want || b.ChainID() != a.ChainID().Child(want) {
			t.Errorf("diff ID %s, chain ID %s", b.DiffID(), b.ChainID())
		}
		if b.CacheID() != ImageLayerID(a.CacheID(), b.DiffID()) {
			t.Errorf("cache ID %s is not the derived one", b.CacheID())
		}
		if la, lb := int64(len(baseTar(t))), int64(len(upperTar(t))); a.Size() != la || b.DiffSize() != lb || b.Size() != la+lb {
			t.Errorf("sizes %d, %d, %d", a.Size(), b.DiffSize(), b.Size())
		}
		if m, err := b.Metadata(ctx); err != nil || len(m) == 0 {
			t.Errorf("metadata %v, %v", m, err)
		}
		if got := readAll(t, b.TarStream); !bytes.Equal(got, upperTar(t)) {
			t.Error("the tar is another")
		}
		from := func(chain ChainID) func(context.Context) (io.ReadCloser, error) {
			return func(ctx context.Context) (io.ReadCloser, error) { return b.TarStreamFrom(ctx, chain) }
		}
		if got := readAll(t, from(a.ChainID())); !bytes.Equal(got, upperTar(t)) {
			t.Error("the tar from the parent is another")
		}
		whole := tarNames(t, readAll(t, from("")))
		for name, want := range map[string]bool{"etc/hello": true, "opq/new": true, "etc/gone": false, "opq/old": false, "etc/.wh.gone": false} {
			if slices.Contains(whole, name) != want {
				t.Errorf("whole stack: %s is there: %t", name, !want)
			}
		}
		for _, chain := range []ChainID{b.ChainID(), "sha256:00"} {
			if _, err := b.TarStreamFrom(ctx, chain); !errors.Is(err, ErrNotAncestor) {
				t.Errorf("from %s: %v", chain, err)
			}
		}
		if c.DriverName() != e.driver || c.DriverStatus() == nil && e.driver == "overlay" {
			t.Errorf("driver %s, status %v", c.DriverName(), c.DriverStatus())
		}
	})
}

func TestEmptyLayer(t *testing.T) {
	empty := EmptyLayer()
	if got := DiffID(testutil.Digest(make([]byte, 1024))); got != EmptyDiffID || empty.DiffID() != got || empty.ChainID() != ChainID(got) {
		t.Errorf("IDs %s, %s, want %s", empty.DiffID(), empty.ChainID(), got)
	}
	if empty.Parent() != nil || empty.Size() != 0 || empty.DiffSize() != 0 || empty.CacheID() != "" {
		t.Errorf("%+v", empty)
	}
	if got := readAll(t, empty.TarStream); !bytes.Equal(got, make([]byte, 1024)) {
		t.Errorf("tar of %d bytes", len(got))
	}
	if got := readAll(t, func(ctx context.Context) (io.ReadCloser, error) { return empty.TarStreamFrom(ctx, "") }); len(got) != 1024 {
		t.Errorf("tar from nothing of %d bytes", len(got))
	}
	if _, err := empty.TarStreamFrom(context.Background(), "sha256:00"); !errors.Is(err, ErrNotAncestor) {
		t.Errorf("from something: %v", err)
	}
	if m, err := empty.Metadata(context.Background()); err != nil || len(m) != 0 {
		t.Errorf("metadata %v, %v", m, err)
	}
	if _, err := empty.Descriptor(context.Background()); !errors.Is(err, errdefs.ErrNotFound) {
		t.Errorf("descriptor: %v", err)
	}
}

func TestMapGivesNoReferences(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		b := register(t, c, a, "b")
		create(t, c.store, CreateOptions{ID: "bare"}) // has no chain ID
		all, err := c.Map(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 2 || all[b.ChainID()].Parent() != all[a.ChainID()] || all[a.ChainID()].CacheID() != a.CacheID() {
			t.Errorf("map %v", all)
		}
		release(t, c, a)
		release(t, c, b, b, a)
	})
}

// What others made is found by its chain and never removed by giving it back: nobody
// knows what they need it for.
func TestLayersOfOthersAreNotRemoved(t *testing.T) {
	eachChainStore(t, func(t *testing.T, _ *env, c *ChainStore) {
		theirs := load(t, c.store, "", baseTar(t))
		r, err := c.Get(context.Background(), theirs.Chain)
		if err != nil || r.CacheID() != theirs.ID {
			t.Fatalf("%v, %v", r, err)
		}
		again, err := c.Register(context.Background(), bytes.NewReader(baseTar(t)), "")
		if err != nil || again.CacheID() != theirs.ID {
			t.Fatalf("%v, %v", again, err)
		}
		mine := register(t, c, r, "mine")
		release(t, c, again)
		release(t, c, r)
		release(t, c, mine, mine)
		if ids := listIDs(t, c.store); !slices.Equal(ids, []ID{theirs.ID}) {
			t.Errorf("layers %v", ids)
		}
	})
}

// The same chain may exist several times: with other owners it is another matter.
func TestOfSeveralTheDerivedOneIsTaken(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	c := e.chainStore(t, s, nil)
	ctx := context.Background()
	for _, id := range []ID{"first", "second"} {
		st, err := s.Stage(ctx, StageOptions{}, bytes.NewReader(baseTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		write(t, s, func(tx *WriteTx) {
			if _, err := tx.Adopt(ctx, st, CreateOptions{ID: id}); err != nil {
				t.Fatal(err)
			}
		})
	}
	chain := ChainID(testutil.Digest(baseTar(t)))
	r, err := c.Get(ctx, chain)
	if err != nil || r.CacheID() != "first" {
		t.Errorf("without a derived one: %v, %v", r.CacheID(), err)
	}
	derived := load(t, s, "", baseTar(t))
	if r, err = c.Get(ctx, chain); err != nil || r.CacheID() != derived.ID {
		t.Errorf("with a derived one: %v, %v", r.CacheID(), err)
	}
}

type fakeUsers struct {
	mu   sync.Mutex
	of   map[ID]string
	err  error
	open int
}

func (u *fakeUsers) Hold(context.Context) (HeldUsers, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.open++
	}
	return u, u.err
}

func (u *fakeUsers) UserOf(id ID) (string, error) { return u.of[id], nil }

func (u *fakeUsers) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open--
	return nil
}

func TestWhatImagesNeedStays(t *testing.T) {
	e := newEnv(t, "vfs")
	users := &fakeUsers{of: map[ID]string{}}
	c := e.chainStore(t, e.open(t), users)
	a := register(t, c, nil, "a")
	b := register(t, c, a, "b")
	top := register(t, c, b, "c")
	users.of[b.CacheID()] = "image 1"
	release(t, c, a)
	release(t, c, b)
	release(t, c, top, top)
	users.of = nil
	again, err := c.Get(context.Background(), b.ChainID())
	if err != nil {
		t.Fatal(err)
	}
	release(t, c, again, b, a)
	if users.open != 0 {
		t.Errorf("%d records of others are still held", users.open)
	}
}

// What can not be looked at keeps everything, the reference too.
func TestAFailedLookKeepsTheReference(t *testing.T) {
	e := newEnv(t, "vfs")
	users := &fakeUsers{}
	c := e.chainStore(t, e.open(t), users)
	a := register(t, c, nil, "a")
	users.err = errors.New("records are damaged")
	if _, err := c.Release(context.Background(), a); !errors.Is(err, users.err) {
		t.Errorf("release: %v", err)
	}
	users.err = nil
	release(t, c, a, a)
}

func TestCloseEndsReferences(t *testing.T) {
	eachChainStore(t, func(t *testing.T, e *env, c *ChainStore) {
		a := register(t, c, nil, "a")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if held, err := lease.Held(e.leaseDir()); err != nil || len(held) != 0 {
			t.Errorf("leases %v, %v", held, err)
		}
		if _, err := c.Get(context.Background(), a.ChainID()); !errors.Is(err, ErrChainStoreClosed) {
			t.Errorf("get: %v", err)
		}
		if _, err := c.Release(context.Background(), a); !errors.Is(err, ErrNotRetained) {
			t.Errorf("release: %v", err)
		}
		next := e.chainStore(t, c.store, nil)
		again, err := next.Get(context.Background(), a.ChainID())
		if err != nil {
			t.Fatalf("it is gone: %v", err)
		}
		release(t, next, again, a)
	})
}

func TestChainStoreNeedsALeaseDir(t *testing.T) {
	if _, err := NewChainStore(nil, ChainStoreOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Error(err)
	}
}
