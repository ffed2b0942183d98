package layer

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

// stackOn stages both test layers on each other; the caller adopts them.
func stackOn(t testing.TB, s *Store) (low, high *Stage) {
	t.Helper()
	ctx := context.Background()
	low, err := s.Stage(ctx, StageOptions{Image: true}, bytes.NewReader(baseTar(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { discard(t, low) })
	high, err = s.StageOn(ctx, low, StageOptions{Image: true}, bytes.NewReader(upperTar(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { discard(t, high) })
	return low, high
}

func TestAdoptStackIsAdoptOneByOne(t *testing.T) {
	ctx := context.Background()
	together, apart := newEnv(t, "overlay"), newEnv(t, "overlay")
	one := apart.open(t)
	a := load(t, one, "", baseTar(t))
	b := load(t, one, a.ID, upperTar(t))

	s := together.open(t)
	low, high := stackOn(t, s)
	write(t, s, func(tx *WriteTx) {
		layers, err := tx.AdoptStack(ctx, Adoption{low, CreateOptions{ID: a.ID}}, Adoption{high, CreateOptions{ID: b.ID}})
		if err != nil {
			t.Fatal(err)
		}
		if len(layers) != 2 || layers[1].ID != b.ID || layers[1].Parent != a.ID || layers[1].Chain != b.Chain {
			t.Errorf("adopted %v", layers)
		}
	})
	for _, want := range []Layer{a, b} {
		got := get(t, s, want.ID)
		if got.DiffID != want.DiffID || got.Parent != want.Parent || got.DiffSize != want.DiffSize || got.Incomplete() {
			t.Errorf("record %+v, want %+v", got.Record, want.Record)
		}
	}
	if data, err := diff(s, b.ID, "", plain); err != nil || !bytes.Equal(data, upperTar(t)) {
		t.Errorf("tar of the upper layer: %v", err)
	}
	if !bytes.Equal(treeTar(t, s, b.ID), treeTar(t, one, b.ID)) {
		t.Error("the trees differ")
	}
}

// treeTar is the whole stack as one tar.
func treeTar(t testing.TB, s *Store, id ID) []byte {
	t.Helper()
	opts := plain
	opts.Whole = true
	data, err := diff(s, id, "", opts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAdoptStackRefuses(t *testing.T) {
	ctx := context.Background()
	s := newEnv(t, "overlay").open(t)
	taken := create(t, s, CreateOptions{})
	low, high := stackOn(t, s)
	id := func() CreateOptions { return CreateOptions{ID: NewID()} }
	tests := []struct {
		name  string
		stack []Adoption
		want  error
	}{
		{"the upper one alone", []Adoption{{high, id()}}, errdefs.ErrInvalid},
		{"the wrong order", []Adoption{{high, id()}, {low, id()}}, errdefs.ErrInvalid},
		{"the same twice", []Adoption{{low, id()}, {low, id()}}, errdefs.ErrInvalid},
		{"no ID", []Adoption{{low, id()}, {high, CreateOptions{}}}, errdefs.ErrInvalid},
		{"an ID in use", []Adoption{{low, id()}, {high, CreateOptions{ID: taken.ID}}}, ErrDuplicateID},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := s.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Close()
			if _, err := tx.AdoptStack(ctx, tt.stack...); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	if ids := listIDs(t, s); len(ids) != 1 {
		t.Errorf("layers %v", ids)
	}
	write(t, s, func(tx *WriteTx) { // nothing of that spoilt the stages
		if _, err := tx.AdoptStack(ctx, Adoption{low, id()}, Adoption{high, id()}); err != nil {
			t.Error(err)
		}
		if _, err := tx.AdoptStack(ctx, Adoption{low, id()}); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("adopted before: %v", err)
		}
	})
}

func TestStageOnRefuses(t *testing.T) {
	ctx := context.Background()
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		low, err := s.Stage(ctx, StageOptions{}, bytes.NewReader(baseTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, low)
		high, err := s.StageOn(ctx, low, StageOptions{}, bytes.NewReader(upperTar(t)))
		if err == nil {
			defer discard(t, high)
		}
		if s.CanStack() != (err == nil) || err != nil && !errors.Is(err, errdefs.ErrUnsupported) {
			t.Fatalf("can stack: %t, %v", s.CanStack(), err)
		}
		ranges := []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 65536}}
		other := StageOptions{Mapping: idmap.Mapping{UIDs: ranges, GIDs: ranges}}
		if _, err := s.StageOn(ctx, low, other, bytes.NewReader(upperTar(t))); !errors.Is(err, errdefs.ErrUnsupported) {
			t.Errorf("other owners: %v", err)
		}
		if _, err := s.StageOn(ctx, low, StageOptions{}, nil); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("no blob: %v", err)
		}
		if !s.CanStack() {
			write(t, s, func(tx *WriteTx) { // a stack of one is a layer
				if _, err := tx.AdoptStack(ctx, Adoption{low, CreateOptions{ID: NewID()}}); err != nil {
					t.Error(err)
				}
			})
			return
		}
		if _, err := s.StageOn(ctx, low, StageOptions{Expect: EmptyDiffID}, bytes.NewReader(upperTar(t))); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("another diff ID: %v", err)
		}
	})
}
