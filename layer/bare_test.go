package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// bare hides a driver's optional powers, apart from listing, which tests need.
type bare struct{ graphdriver.Driver }

func (b bare) List(ctx context.Context) ([]graphdriver.ID, error) {
	return b.Driver.(graphdriver.Lister).List(ctx)
}

func TestDriversWithoutOptionalPowers(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		e.wrap = func(d graphdriver.Driver) graphdriver.Driver { return bare{d} }
		s := e.open(t)
		tar, upper := baseTar(t), upperTar(t)
		a := load(t, s, "", gzipped(t, tar))
		b := load(t, s, a.ID, upper)
		c := create(t, s, CreateOptions{Parent: b.ID})
		for id, want := range map[ID][]byte{a.ID: tar, b.ID: upper, c.ID: make([]byte, 1024)} {
			if got, err := diff(s, id, "", plain); err != nil || !bytes.Equal(got, want) {
				t.Errorf("diff of %s: %d bytes, want %d: %v", id, len(got), len(want), err)
			}
		}
		if _, err := s.Mount(context.Background(), c.ID, MountOptions{}); err != nil {
			t.Error(err)
		}
		if _, err := s.Unmount(context.Background(), c.ID, UnmountOptions{}); err != nil {
			t.Error(err)
		}
		remove(t, s, c.ID)
		remove(t, s, b.ID, a.ID)
	})
}

// exactVFS is a driver that claims to reproduce diffs, by keeping them.
type exactVFS struct {
	bare
	mu   sync.Mutex
	tars map[graphdriver.ID][]byte
}

func (x *exactVFS) Capabilities() graphdriver.Capabilities {
	return graphdriver.Capabilities{ReproducesExactDiffs: true}
}

func (x *exactVFS) ApplyDiff(ctx context.Context, id, parent graphdriver.ID, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	data, err := io.ReadAll(diff)
	if err != nil {
		return 0, err
	}
	x.mu.Lock()
	x.tars[id] = data
	x.mu.Unlock()
	return x.bare.ApplyDiff(ctx, id, parent, bytes.NewReader(data), opts)
}

func (x *exactVFS) Diff(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (io.ReadCloser, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return io.NopCloser(bytes.NewReader(x.tars[id])), nil
}

func TestDriverThatReproducesDiffsNeedsNoTarSplit(t *testing.T) {
	e := newEnv(t, "vfs")
	var x *exactVFS
	e.wrap = func(d graphdriver.Driver) graphdriver.Driver {
		x = &exactVFS{bare: bare{d}, tars: map[graphdriver.ID][]byte{}}
		return x
	}
	s := e.open(t)
	tar := baseTar(t)
	l := load(t, s, "", tar)
	if _, err := os.Stat(filepath.Join(e.graphDir(), string(l.ID)+splitSuffix)); !os.IsNotExist(err) {
		t.Errorf("tar-split: %v", err)
	}
	if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, tar) {
		t.Errorf("diff: %v", err)
	}
	x.tars[graphdriver.ID(l.ID)] = upperTar(t)
	if _, err := diff(s, l.ID, "", plain); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("diff of a lying driver: %v, want ErrCorrupt", err)
	}
}
