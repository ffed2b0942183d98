package strata_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/internal/treecopy"
)

// errFault is what fails.
var errFault = errors.New("injected fault")

// patience bounds every call of a walk: what takes longer, even on a busy machine, waits for
// a lock that somebody has not given back.
const patience = 3 * time.Minute

// walkOp is an operation of the library whose steps are walked through.
type walkOp struct {
	name string
	// prepare changes the scene that all operations start from; nil leaves it.
	prepare func(t *testing.T, s *storetest.Store)
	// before runs on each copy of the store just before the operation: for what a copy
	// does not take along. It may be nil.
	before func(t *testing.T, s *storetest.Store)
	run    func(ctx context.Context, s *strata.Store) error
	// late is the error of a second run; nil: there is none.
	late error
	// once: a second run changes the store again, so it is left out.
	once bool
	// partial: an error may leave another state than the old one or the new one, which
	// a second run completes.
	partial bool
	// keep: garbage collection would take what a second run needs, so it comes after that.
	keep bool
	// miscounts: what is unmounted may stay counted as mounted.
	miscounts bool
	// logs: a step that the new state does not need may fail: what comes after it, which is
	// logged, or a look whether there is anything to do.
	logs bool
	// lenient: a failure is logged, and the next process does it.
	lenient bool
}

// passage is one passage of an operation through a point.
type passage struct {
	point string
	skip  int // how many passages through the point come before
}

func (p passage) String() string { return fmt.Sprintf("%s after %d", p.point, p.skip) }

// quiet are the points whose failure is logged and not returned, since the operation
// is done without that step.
var quiet = []string{
	"recordfile.backup", // a backup must not keep anybody from changing records
	"overlay.renew",     // the old mount point does as well
	"tempdir.recover",   // what others left; the next one tries again
	"tempdir.new",       // deleting goes on in place
	"tempdir.mkdir",
	"lease.mark",   // of an init layer that something stands on; it ends with the process
	"dedupe.share", // a file less shares its data
}

// TestFaultWalk lets every step of every operation fail once, and cancels the operation
// there once. Whatever the step, the error says so, the next one to open the store sees
// the state before or the state after, the operation can be done again, and garbage
// collection leaves what it leaves of an undisturbed store.
func TestFaultWalk(t *testing.T) {
	eachWalkDriver(t, func(t *testing.T, driver string) {
		scene := newScene(t, driver)
		for _, op := range someOf(driver, walkOps()) {
			t.Run(op.name, func(t *testing.T) {
				t.Parallel()
				newWalk(t, scene, op).all()
			})
		}
	})
}

// eachWalkDriver runs f for every driver. It needs root: layers have owners.
func eachWalkDriver(t *testing.T, f func(t *testing.T, driver string)) {
	t.Helper()
	testutil.RequireRoot(t)
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			f(t, driver)
		})
	}
}

// memory is where thousands of short-lived stores cost a disk nothing; "" if there is no
// such place.
func memory() string {
	const dir = "/dev/shm"
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// scene is a store on disk that nobody has open, to be copied.
type scene struct {
	driver, dir string
	place       string // where copies are made
}

// options open the store in dir.
func (sc scene) options(dir string) strata.Options {
	return strata.Options{
		GraphRoot: filepath.Join(dir, "graph"), RunRoot: filepath.Join(dir, "run"), Driver: sc.driver,
		DisableIDMap: true, // so that other owners mean copies
	}
}

// copy copies the store to a new directory.
func (sc scene) copy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(sc.place, "walk") //nolint:usetesting // gone long before the test ends
	must(t, err)
	must(t, treecopy.Copy(context.Background(), dir, sc.dir, treecopy.Options{AllXattrs: true, Workers: 1}))
	return dir
}

// open opens a store for a while.
func (sc scene) open(t *testing.T, dir string) *storetest.Store {
	t.Helper()
	opts := sc.options(dir)
	s, err := strata.Open(context.Background(), opts)
	must(t, err)
	return storetest.Wrap(t, s, opts)
}

// close unmounts what is mounted and closes the store.
func (sc scene) close(t *testing.T, s *storetest.Store) {
	t.Helper()
	if sc.driver == "overlay" {
		if _, err := s.Shutdown(context.Background(), strata.ShutdownOptions{Force: true}); err != nil && !isMounted(err) {
			t.Errorf("shut down: %v", err)
		}
	}
	must(t, s.Close(context.Background()))
}

func isMounted(err error) bool {
	var mounted *strata.MountedError
	return errors.As(err, &mounted)
}

// walk goes through one operation.
type walk struct {
	t *testing.T
	scene
	op        walkOp
	old, done look
	passages  []passage
}

// newWalk finds out what the operation passes, and what the store looks like before it
// and after it.
func newWalk(t *testing.T, base scene, op walkOp) *walk {
	t.Helper()
	w := &walk{t: t, scene: base, op: op}
	if op.prepare != nil {
		w.dir = base.copy(t)
		t.Cleanup(func() { must(t, os.RemoveAll(w.dir)) })
		s := w.open(t, w.dir)
		op.prepare(t, s)
		w.close(t, s)
	}
	w.on(func(_ string, s *storetest.Store) *storetest.Store {
		w.old = lookAt(t, s)
		return s
	})
	w.on(func(dir string, s *storetest.Store) *storetest.Store {
		stop := faults.Record(dir)
		err := w.op.run(t.Context(), s.Store)
		points := stop()
		must(t, err)
		w.passages = passagesOf(points)
		s = w.again(s)
		w.done = lookAt(t, s)
		return s
	})
	return w
}

// passagesOf numbers the passages of each point.
func passagesOf(points []string) []passage {
	seen := map[string]int{}
	var out []passage
	for _, p := range points {
		out = append(out, passage{p, seen[p]})
		seen[p]++
	}
	return out
}

// on does something with a copy of the store, which may end up opened anew.
func (w *walk) on(f func(dir string, s *storetest.Store) *storetest.Store) {
	w.t.Helper()
	dir := w.copy(w.t)
	s := w.open(w.t, dir)
	defer func() {
		w.close(w.t, s)
		must(w.t, os.RemoveAll(dir))
	}()
	if w.op.before != nil {
		w.op.before(w.t, s)
	}
	s = f(dir, s)
}

// again opens a store as the next process does.
func (w *walk) again(s *storetest.Store) *storetest.Store {
	w.t.Helper()
	must(w.t, s.Close(context.Background()))
	return w.open(w.t, filepath.Dir(s.Options.GraphRoot))
}

// all goes through the passages, or through a sample of them.
func (w *walk) all() {
	w.t.Helper()
	cases := w.cases()
	for _, c := range cases {
		if c.try(w); w.t.Failed() {
			w.t.Fatalf("%s", c)
		}
	}
	w.t.Logf("%s, %s: %d passages through %d points, %d cases", w.driver, w.op.name, len(w.passages), len(w.points()), len(cases))
}

func (w *walk) points() map[string]bool {
	points := map[string]bool{}
	for _, p := range w.passages {
		points[p.point] = true
	}
	return points
}

// walkCase is one disturbance.
type walkCase struct {
	passage
	cancel bool // instead of failing
}

func (c walkCase) String() string {
	if c.cancel {
		return "cancelled at " + c.passage.String()
	}
	return "failing at " + c.passage.String()
}

// cases are a failure at every passage and a cancellation at one through each point, or
// some of these.
func (w *walk) cases() (cases []walkCase) {
	cancelled := map[string]bool{}
	locks := 0
	for _, p := range sample(w.driver+w.op.name, w.passages, len(w.passages)) {
		if p.point == "recordfile.lock" { // there are many, and little can go wrong
			if locks++; locks > maxLocks {
				continue
			}
		}
		cases = append(cases, walkCase{p, false})
		if !cancelled[p.point] {
			cancelled[p.point] = true
			cases = append(cases, walkCase{p, true})
		}
	}
	switch {
	case testing.Short():
		return sample(w.op.name, cases, shortCases)
	case os.Getenv("STRATA_FAULTS") != "whole":
		return sample(w.op.name, cases, fullCases)
	}
	return cases
}

// shortCases is how many cases of an operation the short form takes, fullCases the full
// one; make faults takes all.
const shortCases, fullCases = 3, 12

// maxLocks is at how many of its locks an operation fails.
const maxLocks = 4

// someOf is all of a list, in the short form half of it.
func someOf[T any](what string, list []T) []T {
	if testing.Short() {
		return sample(what, list, (len(list)+1)/2)
	}
	return list
}

// sample chooses n of a list, the same ones in each run: which ones, the name of what is
// tried decides.
func sample[T any](what string, list []T, n int) []T {
	h := fnv.New64a()
	h.Write([]byte(what))
	list = slices.Clone(list)
	rand.New(rand.NewPCG(h.Sum64(), 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:min(n, len(list))]
}

// try disturbs one run of the operation.
func (c walkCase) try(w *walk) {
	w.t.Helper()
	w.on(func(dir string, s *storetest.Store) *storetest.Store {
		w.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		rule := faults.Rule{Point: c.point, Under: dir, Skip: c.skip, Times: 1, Err: errFault}
		if c.cancel {
			rule.Do, rule.Err = cancel, nil
		}
		disable := faults.Enable(rule)
		err := w.op.run(ctx, s.Store)
		disable()
		c.checkError(w, err)
		return w.settled(w.again(s), err)
	})
}

// checkError: a failure is reported, and says what it is.
func (c walkCase) checkError(w *walk, err error) {
	if err != nil {
		if twice := testutil.Stutter(err.Error()); twice != "" {
			w.t.Errorf("%q is said twice: %v", twice, err)
		}
	}
	w.t.Helper()
	switch {
	case c.cancel && err != nil && !errors.Is(err, context.Canceled):
		w.t.Errorf("error %v, want the context's", err)
	case c.cancel || err == nil && (w.op.lenient || w.op.logs || slices.Contains(quiet, c.point)):
	case !errors.Is(err, errFault):
		w.t.Errorf("error %v, want the fault", err)
	}
}

// settled looks at the store as the next process does, collects garbage, and does the
// operation again.
func (w *walk) settled(s *storetest.Store, failure error) *storetest.Store {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	records := textOf(w.t, s)
	done := records == w.done.records
	switch {
	case done:
	case failure == nil && !w.op.lenient:
		w.t.Errorf("no error, and not the new state:\n%s", difference(w.done.records, records))
	case w.op.partial:
	case records != w.old.records:
		w.t.Errorf("after %v, neither the old state nor the new one:\n%s", failure, difference(w.old.records, records))
	}
	if w.t.Failed() {
		return s
	}
	if !w.op.partial && !w.op.keep {
		want := w.old
		if done {
			want = w.done
		}
		got := tidied(w.t, s)
		got.records = want.records // seen before garbage collection, which may go on
		wantLook(w.t, fmt.Sprintf("after %v", failure), want, got)
	}
	if done && w.op.once {
		return s
	}
	if err := w.op.run(ctx, s.Store); err != nil && (!done || !errors.Is(err, w.op.late)) {
		w.t.Errorf("again after %v: %v", failure, err)
		return s
	}
	s = w.again(s) // which ends leases
	got := lookAt(w.t, s)
	if w.op.miscounts {
		got.findings = w.done.findings
	}
	wantLook(w.t, fmt.Sprintf("after %v and again", failure), w.done, got)
	return s
}
