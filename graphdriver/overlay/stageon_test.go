package overlay

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func stackDriver(t *testing.T) *driver {
	t.Helper()
	dir := root(t)
	d, err := New(t.Context(), graphdriver.Config{Root: dir, Home: filepath.Join(dir, "overlay"), RunHome: filepath.Join(dir, "run")})
	must(t, err)
	return d.(*driver)
}

func stageTar(t *testing.T, s graphdriver.Staged, name string) {
	t.Helper()
	_, err := s.ApplyDiff(t.Context(), bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: name, Body: name})), graphdriver.ApplyOptions{})
	must(t, err)
}

// A stack that was staged at once is the one that is made layer by layer, and one
// flush does for all of it.
func TestStageOn(t *testing.T) {
	d, ctx := stackDriver(t), t.Context()
	home := d.homes[0]
	low, err := d.Stage(ctx, "", graphdriver.CreateOptions{})
	must(t, err)
	defer low.Discard()
	stageTar(t, low, "a")
	must(t, os.Chmod(low.(*staged).tree+"/diff", 0o751))
	mid, err := d.StageOn(ctx, low, graphdriver.CreateOptions{})
	must(t, err)
	defer mid.Discard()
	stageTar(t, mid, "b")
	high, err := d.StageOn(ctx, mid, graphdriver.CreateOptions{})
	must(t, err)
	defer high.Discard()
	stageTar(t, high, "c")

	before := d.syncs.begun(home)
	for _, s := range []graphdriver.Staged{low, mid, high} {
		must(t, s.Sync(ctx))
	}
	if n := d.syncs.begun(home) - before; n != 1 {
		t.Errorf("%d flushes", n)
	}
	if err := high.Adopt(ctx, "high"); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("adopted before the one below: %v", err)
	}
	if err := d.AdoptAll(ctx, []graphdriver.Staged{high, low}, []graphdriver.ID{"x", "y"}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("adopted in the wrong order: %v", err)
	}
	must(t, low.Adopt(ctx, "low"))
	must(t, d.AdoptAll(ctx, []graphdriver.Staged{mid, high}, []graphdriver.ID{"mid", "high"}))
	if err := d.AdoptAll(ctx, []graphdriver.Staged{mid}, []graphdriver.ID{"again"}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("adopted twice: %v", err)
	}
	if n := d.syncs.begun(home) - before; n != 1 {
		t.Errorf("%d flushes after adopting", n)
	}
	path, err := d.Get(ctx, "high", graphdriver.MountOptions{})
	must(t, err)
	for _, name := range []string{"a", "b", "c"} {
		if _, err := os.Stat(filepath.Join(path, name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("root directory %v, %v", info.Mode(), err)
	}
	must(t, d.Put(ctx, "high"))
	if _, err := d.StageOn(ctx, low, graphdriver.CreateOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("on an adopted one: %v", err)
	}
}

// What is written after a flush, or while it runs, needs another one.
func TestFlushesCoverWhatWasThereBefore(t *testing.T) {
	d, ctx := stackDriver(t), t.Context()
	home := d.homes[0]
	s, err := d.Stage(ctx, "", graphdriver.CreateOptions{})
	must(t, err)
	defer s.Discard()
	must(t, d.syncs.do(home, func() error { stageTar(t, s, "meanwhile"); return nil }))
	before := d.syncs.begun(home)
	must(t, s.Sync(ctx))
	must(t, s.Sync(ctx))
	if n := d.syncs.begun(home) - before; n != 1 {
		t.Errorf("%d flushes for what was written during one", n)
	}
	stageTar(t, s, "later")
	failed := errors.New("failed")
	if err := d.syncs.do(home, func() error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	must(t, s.Sync(ctx))
	if n := d.syncs.begun(home) - before; n != 3 {
		t.Errorf("%d flushes, the failed one included", n)
	}
}

func TestAdoptingOnADiscardedStage(t *testing.T) {
	d, ctx := stackDriver(t), t.Context()
	low, err := d.Stage(ctx, "", graphdriver.CreateOptions{})
	must(t, err)
	high, err := d.StageOn(ctx, low, graphdriver.CreateOptions{})
	must(t, err)
	defer high.Discard()
	must(t, low.Discard())
	if err := high.Adopt(ctx, "high"); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("adopt: %v", err)
	}
	if _, err := d.StageOn(ctx, low, graphdriver.CreateOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("stage on it: %v", err)
	}
	other := stackDriver(t)
	if _, err := other.StageOn(ctx, high, graphdriver.CreateOptions{}); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("another driver's: %v", err)
	}
}
