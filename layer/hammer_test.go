package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// hammer does random things to a few layers that others do random things to as
// well. What the others make impossible is no error; everything else is.
type hammer struct {
	s    *Store
	rand *rand.Rand
	tars [][]byte
}

func newHammer(t testing.TB, s *Store, seed uint64) *hammer {
	h := &hammer{s: s, rand: rand.New(rand.NewPCG(seed, 1))}
	for i := range 3 {
		h.tars = append(h.tars, testutil.Tar(t,
			testutil.Entry{Name: "d/"}, testutil.Entry{Name: fmt.Sprint("d/", i), Body: fmt.Sprint("content ", i)}))
	}
	return h
}

// step does one thing. Errors that races explain are dropped.
func (h *hammer) step(ctx context.Context) error {
	steps := []func(context.Context) error{h.load, h.load, h.child, h.remove, h.mount, h.unmount, h.diff, h.rename}
	err := steps[h.rand.IntN(len(steps))](ctx)
	for _, fine := range []error{ErrUnknown, ErrDuplicateID, ErrHasChildren, ErrVanished, ErrParentChanged} {
		if errors.Is(err, fine) {
			return nil
		}
	}
	return err
}

// pick returns any layer, or "".
func (h *hammer) pick(ctx context.Context) (ID, error) {
	tx, err := h.s.View(ctx)
	if err != nil {
		return "", err
	}
	ids := tx.IDs()
	if err := tx.Close(); err != nil || len(ids) == 0 {
		return "nothing", err
	}
	return ids[h.rand.IntN(len(ids))], nil
}

func (h *hammer) change(ctx context.Context, f func(tx *WriteTx) error) error {
	tx, err := h.s.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Close()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func (h *hammer) load(ctx context.Context) error {
	var parent ID
	if h.rand.IntN(3) == 0 {
		var err error
		if parent, err = h.pick(ctx); err != nil {
			return err
		}
	}
	st, err := h.s.Stage(ctx, StageOptions{Parent: parent}, bytes.NewReader(h.tars[h.rand.IntN(len(h.tars))]))
	if err != nil {
		return err
	}
	err = h.change(ctx, func(tx *WriteTx) error {
		_, err := tx.Adopt(ctx, st, CreateOptions{ID: ImageLayerID(parent, st.DiffID())})
		return err
	})
	return errors.Join(err, st.Discard())
}

func (h *hammer) child(ctx context.Context) error {
	parent, err := h.pick(ctx)
	if err != nil {
		return err
	}
	return h.change(ctx, func(tx *WriteTx) error {
		_, err := tx.Create(ctx, CreateOptions{Parent: parent, BigData: []Datum{{"k", []byte("v")}}})
		return err
	})
}

func (h *hammer) remove(ctx context.Context) error {
	id, err := h.pick(ctx)
	if err != nil {
		return err
	}
	cleanup := func() error { return nil }
	err = h.change(ctx, func(tx *WriteTx) (err error) {
		cleanup, err = tx.Delete(ctx, id)
		return err
	})
	return errors.Join(err, cleanup())
}

func (h *hammer) mount(ctx context.Context) error {
	id, err := h.pick(ctx)
	if err != nil {
		return err
	}
	_, err = h.s.Mount(ctx, id, MountOptions{})
	return err
}

func (h *hammer) unmount(ctx context.Context) error {
	id, err := h.pick(ctx)
	if err != nil {
		return err
	}
	_, err = h.s.Unmount(ctx, id, UnmountOptions{})
	return err
}

func (h *hammer) diff(ctx context.Context) error {
	id, err := h.pick(ctx)
	if err != nil {
		return err
	}
	r, err := h.s.Diff(ctx, id, "", plain)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func (h *hammer) rename(ctx context.Context) error {
	id, err := h.pick(ctx)
	if err != nil {
		return err
	}
	return h.change(ctx, func(tx *WriteTx) error { return tx.AddNames(id, fmt.Sprint("name", h.rand.IntN(3))) })
}

// hammerTogether runs workers on one store, and returns when all are done.
func hammerTogether(t *testing.T, s *Store, seed uint64, workers, steps int) {
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			h := newHammer(t, s, seed+uint64(w))
			for i := range steps {
				if err := h.step(context.Background()); err != nil {
					t.Errorf("worker %d of process %d, step %d: %v", w, os.Getpid(), i, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestHammer(t *testing.T) {
	steps := 150
	if testing.Short() {
		steps = 30
	}
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		var group sync.WaitGroup
		group.Go(func() { e.runChild(t, "hammer", "1000", strconv.Itoa(steps)) })
		hammerTogether(t, s, 1, 3, steps)
		group.Wait()
		if t.Failed() {
			return
		}
		checkStore(t, e, s)
		// Whatever is left can be unmounted and deleted.
		ids := listIDs(t, s)
		remove(t, s, ids...)
		t.Logf("%d layers were left", len(ids))
	})
}
