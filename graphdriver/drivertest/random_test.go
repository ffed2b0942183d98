package drivertest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/internal/testutil"
)

func openVFS(t *testing.T) graphdriver.Driver {
	t.Helper()
	root := t.TempDir()
	d, err := vfs.New(t.Context(), graphdriver.Config{
		Root: root, Home: filepath.Join(root, "vfs"), RunHome: filepath.Join(root, "run"), Sync: graphdriver.SyncNone,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// witness is a TB that remembers the failure instead of failing.
type witness struct {
	testing.TB
	failure string
}

func (w *witness) Fatalf(format string, args ...any) {
	w.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (w *witness) Fatal(args ...any) { w.Fatalf("%s", fmt.Sprint(args...)) }

// The faulty drivers each do one thing wrong.
type forgetsChange struct{ graphdriver.Driver }

func (f forgetsChange) Changes(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) ([]archive.Change, error) {
	list, err := f.Driver.Changes(ctx, id, parent, opts)
	return list[:max(0, len(list)-1)], err
}

type countsWrong struct{ graphdriver.Driver }

func (c countsWrong) DiffSize(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (int64, error) {
	n, err := c.Driver.DiffSize(ctx, id, parent, opts)
	return n + 1, err
}

type shortDiff struct{ graphdriver.Driver }

func (s shortDiff) Diff(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (io.ReadCloser, error) {
	r, err := s.Driver.Diff(ctx, id, parent, opts)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(r, strings.NewReader("\x00")), r}, nil
}

type leaksMode struct{ graphdriver.Driver }

func (l leaksMode) Put(ctx context.Context, id graphdriver.ID) error {
	dir, err := l.Get(ctx, id, graphdriver.MountOptions{})
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			return os.Chmod(filepath.Join(dir, e.Name()), 0o123)
		}
	}
	return l.Driver.Put(ctx, id)
}

type forgetsDiff struct{ graphdriver.Driver }

func (f forgetsDiff) ApplyDiff(ctx context.Context, id, parent graphdriver.ID, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	return io.Copy(io.Discard, diff)
}

// TestRandomSees: a comparison that finds nothing in a faulty driver is worth nothing.
func TestRandomSees(t *testing.T) {
	testutil.RequireRoot(t)
	tests := map[string]struct {
		spoil func(graphdriver.Driver) graphdriver.Driver
		says  string
	}{
		"changes": {func(d graphdriver.Driver) graphdriver.Driver { return forgetsChange{d} }, "list of changes"},
		"size":    {func(d graphdriver.Driver) graphdriver.Driver { return countsWrong{d} }, "diff size"},
		"diff":    {func(d graphdriver.Driver) graphdriver.Driver { return shortDiff{d} }, "diff of layer"},
		"tree":    {func(d graphdriver.Driver) graphdriver.Driver { return leaksMode{d} }, " 0123 "},
		"apply":   {func(d graphdriver.Driver) graphdriver.Driver { return forgetsDiff{d} }, "by way of"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &witness{TB: t}
			a, b := openVFS(t), tt.spoil(openVFS(t))
			done := make(chan struct{})
			go func() {
				defer close(done)
				drivertest.Random(w, a, b, 1, 50)
			}()
			<-done
			if !strings.Contains(w.failure, tt.says) || !strings.Contains(w.failure, "seed 1:") {
				t.Errorf("failure: %.2000s", w.failure)
			}
		})
	}
}
