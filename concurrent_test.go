package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// jobs are what children of the test binary can do; see childJob.
var jobs = map[string]func(ctx context.Context, s *strata.Store, n int) error{
	"use":              useStore,
	"import":           importJob,
	"load":             loadJob,
	"create-image":     createImageJob,
	"create-container": createContainerJob,
	"delete-image":     deleteImageJob,
	"delete-container": deleteContainerJob,
	"set-data":         setDataJob,
	"borrow":           borrowJob,
	"copy-killed":      copyKilledJob,
}

// useStore does a user's round several times beside other users, with objects of
// its own on top of the image "shared".
func useStore(ctx context.Context, s *strata.Store, n int) error {
	for i := range 3 {
		if err := useOnce(ctx, s, fmt.Sprintf("u%d-%d", n, i)); err != nil {
			return fmt.Errorf("user %d, round %d: %w", n, i, err)
		}
	}
	return nil
}

func useOnce(ctx context.Context, s *strata.Store, name string) error {
	tar := testTar(name)
	l, err := s.ImportLayer(ctx, strata.LayerOptions{ID: layer.ID(name), Parent: "shared"}, bytes.NewReader(tar))
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	if l.DiffID != layer.DiffID(testutil.Digest(tar)) {
		return fmt.Errorf("diff ID %s", l.DiffID)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{ID: image.ID(name), TopLayer: name, BigData: []image.BigDatum{{Key: "manifest", Data: tar}}}); err != nil {
		return fmt.Errorf("create image: %w", err)
	}
	if _, err := s.AddNames(ctx, name, []string{name + "-name", "latest"}); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if _, err := s.CreateContainer(ctx, strata.ContainerOptions{ID: container.ID("c-" + name), Image: name}); err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	if err := changeContainer(ctx, s, "c-"+name); err != nil {
		return err
	}
	if _, err := s.Snapshot(ctx); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := s.DeleteContainer(ctx, "c-"+name); err != nil {
		return fmt.Errorf("delete container: %w", err)
	}
	removed, err := s.DeleteImage(ctx, name, strata.DeleteImageOptions{})
	if err != nil || len(removed) != 1 {
		return fmt.Errorf("delete image: removed %v: %w", removed, err)
	}
	return nil
}

func testTar(name string) []byte {
	var t testing.T // only reports, and only what can not happen here
	return testutil.Tar(&t, testutil.Entry{Name: "f", Body: name})
}

func changeContainer(ctx context.Context, s *strata.Store, name string) error {
	root, err := s.Mount(ctx, name, strata.MountOptions{})
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	content, err := os.ReadFile(filepath.Join(root, "f"))
	if err != nil || "c-"+string(content) != name {
		return fmt.Errorf("content %q, %w", content, err)
	}
	if err := os.WriteFile(filepath.Join(root, "g"), []byte("12345"), 0o600); err != nil {
		return err
	}
	if res, err := s.Unmount(ctx, name, strata.UnmountOptions{}); err != nil || res.Mounted {
		return fmt.Errorf("unmount: %+v, %w", res, err)
	}
	if n, err := s.DiffSize(ctx, name, ""); err != nil || n != 5 {
		return fmt.Errorf("diff size %d, %w", n, err)
	}
	return nil
}

func shared(t testing.TB, s *storetest.Store) {
	t.Helper()
	importLayer(t, s, "shared", "", testutil.Entry{Name: "base", Body: "base"})
	createImage(t, s, "shared", "shared")
}

// TestConcurrentGoroutines has users on one Store value and on several.
func TestConcurrentGoroutines(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		shared(t, s)
		other := s.Again(t)
		errs := make([]error, 6)
		var wg sync.WaitGroup
		for n := range errs {
			st := []*storetest.Store{s, other}[n%2]
			wg.Go(func() { errs[n] = useStore(t.Context(), st.Store, n) })
		}
		wg.Wait()
		must(t, errors.Join(errs...))
		wantIDs(t, s, []string{"shared"}, []string{"shared"}, nil)
	})
}

func TestConcurrentProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		shared(t, s)
		var children []*exec.Cmd
		for n := range 4 {
			children = append(children, startChild(t, s.Options, childJob{Job: "use", Arg: n}))
		}
		must(t, useStore(t.Context(), s.Store, 99))
		for _, c := range children {
			if waitChild(t, c) {
				t.Error("a child was killed")
			}
		}
		wantIDs(t, s, []string{"shared"}, []string{"shared"}, nil)
	})
}

func TestCancelledCallsLeaveNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		shared(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		calls := map[string]error{
			"layer":     errOf(s.CreateLayer(ctx, strata.LayerOptions{})),
			"import":    errOf(s.ImportLayer(ctx, strata.LayerOptions{}, bytes.NewReader(testTar("x")))),
			"image":     errOf(s.CreateImage(ctx, image.CreateOptions{BigData: []image.BigDatum{{Key: "k"}}})),
			"container": errOf(s.CreateContainer(ctx, strata.ContainerOptions{Image: "shared"})),
			"mount":     errOf(s.Mount(ctx, "shared", strata.MountOptions{})),
			"wipe":      s.Wipe(ctx),
			"names":     errOf(s.AddNames(ctx, "shared", []string{"x"})),
		}
		for name, err := range calls {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
		}
		wantIDs(t, s, []string{"shared"}, []string{"shared"}, nil)
	})
}
