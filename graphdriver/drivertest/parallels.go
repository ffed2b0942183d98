package drivertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func parallelCases() []testCase {
	return []testCase{
		{name: "parallel: lives of layers", run: parallelLives},
		{name: "parallel: creators of one ID", run: parallelCreators},
		{name: "parallel: get and put of one layer", run: parallelGets},
		{name: "parallel: adopters of one ID", needs: []need{needsStager}, run: parallelAdopters},
		{name: "parallel: removers of one layer", run: parallelRemovers},
	}
}

const crowd = 8

// together runs f in a crowd of goroutines and returns how many had no error; errors other than
// tolerated ones fail the test.
func (e *env) together(tolerated error, f func(n int) error) int {
	e.Helper()
	var wg sync.WaitGroup
	var good atomic.Int32
	for n := range crowd {
		wg.Go(func() {
			err := f(n)
			if err == nil {
				good.Add(1)
			} else if tolerated == nil || !errors.Is(err, tolerated) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	return int(good.Load())
}

func parallelLives(e *env) {
	e.populated()
	diff := testutil.Tar(e, testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/new", Body: "2"}, testutil.Entry{Name: ".wh.file"})
	e.leavesNothing(func() {
		e.together(nil, func(n int) error {
			for round := range 3 {
				if err := e.life(graphdriver.ID(fmt.Sprintf("layer-%d-%d", n, round)), diff); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// life makes, fills, mounts, changes, diffs and removes a layer.
func (e *env) life(id graphdriver.ID, diff []byte) error {
	if err := e.d.Create(e.Context(), id, "base", graphdriver.CreateOptions{}); err != nil {
		return err
	}
	if _, err := e.d.ApplyDiff(e.Context(), id, "base", bytes.NewReader(diff), graphdriver.ApplyOptions{}); err != nil {
		return err
	}
	dir, err := e.d.Get(e.Context(), id, graphdriver.MountOptions{})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte(id), 0o600); err != nil {
		return err
	}
	if err := e.d.Put(e.Context(), id); err != nil {
		return err
	}
	changes, err := e.d.Changes(e.Context(), id, "base", graphdriver.DiffOptions{})
	if err != nil {
		return err
	}
	if len(changes) != 4 {
		return fmt.Errorf("%s has changes %v", id, changes)
	}
	r, err := e.d.Diff(e.Context(), id, "base", graphdriver.DiffOptions{})
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return errors.Join(err, r.Close())
	}
	return errors.Join(r.Close(), e.d.Remove(e.Context(), id))
}

func parallelCreators(e *env) {
	e.populated()
	for round := range 5 {
		id := graphdriver.ID(fmt.Sprintf("child%d", round))
		good := e.together(errdefs.ErrExists, func(int) error {
			return e.d.Create(e.Context(), id, "base", graphdriver.CreateOptions{})
		})
		if good != 1 {
			e.Errorf("%d creators of %s succeeded", good, id)
		}
		e.same("tree", e.tree(id), e.tree("base"))
	}
}

func parallelGets(e *env) {
	e.populated()
	e.create("child", "base")
	before := mountsBelow(e, e.root)
	e.together(nil, func(int) error {
		for range 10 {
			dir, err := e.d.Get(e.Context(), "child", graphdriver.MountOptions{})
			if err != nil {
				return err
			}
			if _, err := os.Stat(filepath.Join(dir, "dir/sub/deep")); err != nil {
				return err
			}
			if err := e.d.Put(e.Context(), "child"); err != nil {
				return err
			}
		}
		return nil
	})
	e.same("left mounted", mountsBelow(e, e.root), before)
}

func parallelAdopters(e *env) {
	e.populated()
	var stages [crowd]graphdriver.Staged
	for n := range stages {
		stages[n] = e.stage("base", testutil.Tar(e, testutil.Entry{Name: "f", Body: "1"}))
	}
	good := e.together(errdefs.ErrExists, func(n int) error { return stages[n].Adopt(e.Context(), "child") })
	if good != 1 {
		e.Errorf("%d adopters succeeded", good)
	}
	e.mounted("child", func(dir string) { e.wantNames(dir, "dir", "f", "file", "keep", "link") })
}

func parallelRemovers(e *env) {
	e.leavesNothing(func() {
		e.populated()
		good := e.together(nil, func(int) error { return e.d.Remove(e.Context(), "base") })
		if good != crowd {
			e.Errorf("%d of %d removers succeeded", good, crowd)
		}
		e.exists("base", false)
	})
}
