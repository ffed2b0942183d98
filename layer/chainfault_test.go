package layer

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stratastore/strata/internal/faults"
)

// scene is what every chain change starts from: b on a, a read-write layer with an
// init layer on b, and a reference to each.
type scene struct {
	c    *ChainStore
	a, b *Ref
	m    *RWRef
	refs []reference // handed out by the change
}

// keep notes a reference that the change got.
func (s *scene) keep(r reference) { s.refs = append(s.refs, r) }

func newScene(t *testing.T, e *env) *scene {
	t.Helper()
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	c := e.chainStore(t, s, nil)
	a := register(t, c, nil, "a")
	b := register(t, c, a, "b")
	return &scene{c: c, a: a, b: b, m: createRW(t, c, "m", b, RWOptions{Init: putHosts})}
}

// chainChange is one operation. It returns what it says was removed.
type chainChange struct {
	name    string
	prepare func(t *testing.T, s *scene)
	run     func(s *scene, tar []byte) ([]Removed, error)
}

var chainChanges = []chainChange{
	{"register", nil, func(s *scene, tar []byte) ([]Removed, error) {
		r, err := s.c.Register(context.Background(), bytes.NewReader(tar), s.b.ChainID())
		if err != nil {
			return nil, err
		}
		s.keep(r)
		return withoutNew(s.c.Release(context.Background(), r))
	}},
	{"create", nil, func(s *scene, _ []byte) ([]Removed, error) {
		r, err := s.c.CreateRWLayer(context.Background(), "n", s.b.ChainID(), RWOptions{Init: putHosts})
		if err != nil {
			return nil, err
		}
		s.keep(r)
		return s.c.ReleaseRWLayer(context.Background(), r)
	}},
	{"release read-write", nil, func(s *scene, _ []byte) ([]Removed, error) {
		return s.c.ReleaseRWLayer(context.Background(), s.m)
	}},
	{"release", func(t *testing.T, s *scene) {
		releaseRW(t, s.c, s.m)
		release(t, s.c, s.a)
	}, func(s *scene, _ []byte) ([]Removed, error) {
		return s.c.Release(context.Background(), s.b)
	}},
	{"release all by the read-write layer", func(t *testing.T, s *scene) {
		release(t, s.c, s.b)
		release(t, s.c, s.a)
	}, func(s *scene, _ []byte) ([]Removed, error) {
		return s.c.ReleaseRWLayer(context.Background(), s.m)
	}},
}

// withoutNew leaves out what was not there before.
func withoutNew(removed []Removed, err error) ([]Removed, error) {
	return removed[:0:0], err
}

// Whatever step of whatever operation fails: what is said to be gone is gone and
// nothing else, references that were not given back can be, and in the end nothing
// is left that was not to be.
func TestFaultsLoseNoCount(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		for _, change := range chainChanges {
			for _, point := range append(pointsOf(e.driver), "lease.add", "lease.mark") {
				t.Run(change.name+" "+point, func(t *testing.T) { failChain(t, e.driver, change, point) })
			}
		}
	})
}

func failChain(t *testing.T, driver string, change chainChange, point string) {
	tar := upperTar(t)
	for skip := 0; ; skip++ {
		e := newEnv(t, driver)
		s := newScene(t, e)
		if change.prepare != nil {
			change.prepare(t, s)
		}
		before := chainsOf(t, s.c)
		hit := false
		disable := faults.Enable(faults.Rule{
			Point: point, Under: filepath.Dir(e.graph), Skip: skip, Times: 1, Err: errFault, Do: func() { hit = true },
		})
		removed, err := change.run(s, tar)
		disable()
		if !hit {
			return
		}
		checkRemoved(t, s.c, before, removed)
		releaseAll(t, s)
		settledChains(t, e)
		if t.Failed() {
			t.Fatalf("passage %d: the change said %v, %v", skip, removed, err)
		}
	}
}

// chainsOf lists the chains that are there.
func chainsOf(t testing.TB, c *ChainStore) map[ChainID]bool {
	t.Helper()
	all, err := c.Map(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	chains := map[ChainID]bool{}
	for id := range all {
		chains[id] = true
	}
	return chains
}

// checkRemoved compares what is gone with what was said to be.
func checkRemoved(t testing.TB, c *ChainStore, before map[ChainID]bool, removed []Removed) {
	t.Helper()
	after := chainsOf(t, c)
	for id := range before {
		said := slices.ContainsFunc(removed, func(r Removed) bool { return r.ChainID == id })
		if said && after[id] {
			t.Errorf("layer %s is said to be gone and is there", id)
		}
		if !said && !after[id] {
			t.Errorf("layer %s is gone and not said to be", id)
		}
	}
}

// releaseAll gives back what is still held. What is not held is a second release.
func releaseAll(t testing.TB, s *scene) {
	t.Helper()
	ctx := context.Background()
	for _, r := range s.refs {
		var err error
		switch r := r.(type) {
		case *Ref:
			_, err = s.c.Release(ctx, r)
		case *RWRef:
			_, err = s.c.ReleaseRWLayer(ctx, r)
		}
		if err != nil && !errors.Is(err, ErrNotRetained) {
			t.Errorf("release: %v", err)
		}
	}
	if _, err := s.c.ReleaseRWLayer(ctx, s.m); err != nil && !errors.Is(err, ErrNotRetained) {
		t.Errorf("release read-write layer: %v", err)
	}
	for _, r := range []*Ref{s.b, s.a} {
		if _, err := s.c.Release(ctx, r); err != nil && !errors.Is(err, ErrNotRetained) {
			t.Errorf("release: %v", err)
		}
	}
	if n := len(s.c.refs); n != 0 {
		t.Errorf("%d references are left", n)
	}
	if err := s.c.Close(); err != nil {
		t.Error(err)
	}
}

// settledChains opens the store as the next process does. What an interrupted
// release left is collected; nothing else is there, and what is there is whole.
func settledChains(t testing.TB, e *env) {
	t.Helper()
	ctx := context.Background()
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range listIDs(t, s) {
		if _, err := diff(s, id, "", plain); err != nil {
			t.Errorf("diff of %s: %v", id, err)
		}
	}
	c := e.chainStore(t, s, nil)
	if err := c.Cleanup(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Collect(ctx, 0); err != nil {
		t.Error(err)
	}
	checkStore(t, e, s)
	if ids := listIDs(t, s); len(ids) != 0 {
		t.Errorf("layers %v are left", ids)
	}
}
