package powertest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// done is one command of a workload.
type done struct {
	args []string
	err  error
	// started and ended are positions in the disk's log: before the command was
	// started, and when it had returned.
	started, ended int
	// before and after are what the records said.
	before, after storeState
}

// workload is a number of commands one after the other on a store of a rig.
type workload struct {
	*rig
	driver string
	env    []string
	steps  []done
}

func (w *workload) graph() string { return filepath.Join(w.dir, "graph") }

func (w *workload) observe() (state storeState, err error) {
	err = w.do(func() error {
		state, err = observe(w.graph(), w.driver)
		return err
	})
	return state, err
}

func (w *workload) strata(args ...string) (string, error) {
	all := append([]string{"--graph", w.graph(), "--run", filepath.Join(w.tmp, "run"), "-s", w.driver}, args...)
	return w.bench.run(w.env, binary, all...)
}

// run does n commands. What fails is part of the work, but not all may.
func (w *workload) run(t *testing.T, seed uint64, n int) {
	t.Helper()
	c := &chooser{rng: rand.New(rand.NewPCG(seed, 2)), of: newMaterials(t, w.tmp), now: storeState{}}
	failed := map[string]int{}
	for range n {
		step := done{args: c.next(), before: c.now, started: w.rec.position()}
		_, step.err = w.strata(step.args...)
		step.ended = w.rec.position()
		var err error
		if step.after, err = w.observe(); err != nil {
			t.Fatalf("after %s: %v", describe(step.args), err)
		}
		if step.err != nil {
			failed[step.args[0]]++
		}
		c.now = step.after
		w.steps = append(w.steps, step)
	}
	t.Logf("%d commands, %d events of the disk, failed: %v", n, w.rec.position(), failed)
}

// cuts chooses when the power fails: half of them right after a command returned,
// when it has promised the most and the disk knows the least; the others anywhere.
func (w *workload) cuts(seed uint64, n int) []cut {
	rng := rand.New(rand.NewPCG(seed, 3))
	var out []cut
	for i := range n {
		c := cut{seed: rng.Uint64(), mode: cutMode(i/2) % cutModes}
		first := w.steps[0].started
		if i%2 == 0 {
			c.at = w.steps[rng.IntN(len(w.steps))].ended
		} else {
			c.at = first + rng.IntN(w.rec.position()-first+1)
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b cut) int { return a.at - b.at })
	return out
}

// promised returns the states that a store may be in after a cut: the one after the
// last command that had returned, and the one that the command in progress makes.
// When a command fails, what it had made before may be there or not.
func (w *workload) promised(at int) (states []storeState, text string) {
	text = "before the first command"
	states = []storeState{w.steps[0].before}
	for _, s := range w.steps {
		switch {
		case s.ended <= at:
			states, text = []storeState{s.after}, "after "+describe(s.args)
		case s.started < at:
			states = append(states, s.after)
			if s.args[0] == "applydiff" {
				states = append(states, s.after.withoutDiff(s.args[len(s.args)-1]))
			}
			return states, "during " + describe(s.args)
		}
	}
	return states, text
}

// verdict examines the disk after one cut.
func (w *workload) verdict(image string, c cut) ([]string, error) {
	states, when := w.promised(c.at)
	out, err := examine(examination{Image: image, FileSystem: w.fsys.name, Driver: w.driver, Dir: mountPoint})
	if err != nil {
		return nil, fmt.Errorf("%v, %s: %w", c, when, err)
	}
	var bad []string
	for _, e := range slices.Concat(out.Errors, out.Findings, out.Opened.differences(states...), out.Swept.differences(states...)) {
		bad = append(bad, fmt.Sprintf("%v, %s: %s", c, when, e))
	}
	return bad, nil
}

// judge examines all cuts, two at a time, and returns what is wrong with them, each
// cut by itself.
func judge(t *testing.T, w *workload, cuts []cut, verdict func(image string, c cut) ([]string, error)) (bad [][]string) {
	t.Helper()
	bad = make([][]string, len(cuts))
	images := newImager(w.rec)
	slots := make(chan struct{}, 2)
	var wait sync.WaitGroup
	for i, c := range cuts {
		slots <- struct{}{}
		image := filepath.Join(w.tmp, fmt.Sprintf("cut%d", i))
		if err := images.make(c, image); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			defer func() { <-slots }()
			var err error
			if bad[i], err = verdict(image, c); err != nil {
				bad[i] = []string{err.Error()}
			}
			if err := os.Remove(image); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	return bad
}

func newWorkload(t *testing.T, fsys fileSystem, driver, sync string) *workload {
	t.Helper()
	w := &workload{rig: newRig(t, fsys), driver: driver}
	conf := filepath.Join(w.tmp, "storage.conf")
	text := fmt.Sprintf("[storage]\ndriver = %q\n[storage.options.strata]\nsync = %q\n", driver, sync)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"CONTAINERS_STORAGE_CONF=" + conf, "STORAGE_DRIVER=" + driver}
	t.Cleanup(func() {
		if out, err := w.strata("shutdown", "--force"); err != nil {
			t.Logf("shutdown: %v %s", err, out)
		}
	})
	return w
}

// sizes of the runs: commands, cuts.
func lengths() (commands, cuts int) {
	switch {
	case full():
		return 150, 400
	case testing.Short():
		return 20, 8
	}
	return 50, 40
}

// TestPowerCut: whatever the disk makes of a power cut, everything that a command
// had promised is there and verifies, and nothing is half there.
func TestPowerCut(t *testing.T) {
	for _, fsys := range fileSystems() {
		for _, driver := range []string{"overlay", "vfs"} {
			t.Run(fsys.name+" "+driver, func(t *testing.T) {
				commands, cuts := lengths()
				w := newWorkload(t, fsys, driver, "filesystem")
				start := time.Now()
				w.run(t, 11, commands)
				t.Logf("workload took %v", time.Since(start))
				for _, bad := range judge(t, w, w.cuts(12, cuts), w.verdict) {
					for _, text := range bad {
						t.Error(text)
					}
				}
				t.Logf("%d cuts, all took %v", cuts, time.Since(start))
			})
		}
	}
}

// TestPowerCutWithoutSync is the proof that the test above can fail: a store that
// does not sync loses what it promised.
func TestPowerCutWithoutSync(t *testing.T) {
	for _, fsys := range fileSystems() {
		t.Run(fsys.name, func(t *testing.T) {
			w := newWorkload(t, fsys, "overlay", "none")
			w.run(t, 11, 12)
			cuts := w.cuts(12, 12)
			bad := judge(t, w, cuts, w.verdict)
			lost := len(slices.DeleteFunc(bad, func(b []string) bool { return len(b) == 0 }))
			t.Logf("%d of %d cuts lose something", lost, len(cuts))
			if lost == 0 {
				t.Error("no cut lost anything although nothing was synced")
			}
			if all := strings.Join(slices.Concat(bad...), "\n"); strings.Contains(all, "panic") {
				t.Errorf("a panic over what was lost:\n%s", all)
			}
		})
	}
}
