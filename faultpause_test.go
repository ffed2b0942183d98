package strata_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
)

// pauses are the operations that meet: the first one stops at one of its steps, the second
// one runs, and the first one goes on. What they do is done to the same objects, to
// objects that stand on each other, or to others.
var pauses = [][2]string{
	{"create image", "create image"},
	{"import layer", "import layer"},
	{"import stack", "import stack"},
	{"create container", "create container"},
	{"apply diff", "apply diff"},
	{"apply diff", "delete layer"},
	{"delete layer", "apply diff"},
	{"import layer", "delete image"},
	{"delete image", "import layer"},
	{"delete image", "create container"},
	{"create container", "delete image"},
	{"create image", "set names of image"},
	{"set names of image", "delete image"},
	{"add data to image", "replace data of image"},
	{"replace data of image", "delete image"},
	{"replace data of container", "delete container"},
	{"mount", "delete container"},
	{"delete container", "mount"},
	{"heal layer", "mount"},
	{"mount", "heal layer"},
	{"unmount", "mount once more"},
	{"collect garbage", "import stack"},
	{"import stack", "collect garbage"},
	{"create container", "collect garbage"},
	{"create container with other owners", "collect garbage"},
	{"replace data of image", "collect garbage"},
	{"delete container", "collect garbage"},
	{"wipe", "create container"},
	{"create container", "wipe"},
	{"import layer", "wipe"},
	{"register layer", "collect garbage"},
	{"create read-write layer", "collect garbage"},
	{"repair", "delete container"},
	{"finish what others began", "import layer"},
	{"create image", "delete layer"},
	{"set metadata of image", "set metadata of container"},
	{"create layer", "delete container"},
}

// TestFaultPause stops one operation at each of its steps while another one runs, in the
// same process or as another process would: what comes out is what comes out of one
// after the other, in either order.
func TestFaultPause(t *testing.T) {
	eachWalkDriver(t, func(t *testing.T, driver string) {
		base := newScene(t, driver)
		ops := map[string]walkOp{}
		for _, op := range walkOps() {
			ops[op.name] = op
		}
		for _, names := range someOf(driver, pauses) {
			t.Run(names[0]+" beside "+names[1], func(t *testing.T) {
				t.Parallel()
				newMeeting(t, base, ops[names[0]], ops[names[1]]).all()
			})
		}
	})
}

// meeting is two operations at a time.
type meeting struct {
	walk   // of the first one, from a scene that is prepared for both
	second walkOp
	// allowed are what one after the other gives.
	allowed []outcome
}

// outcome is which of the two operations could be done, and the state after them.
type outcome struct {
	first, second bool
	look
}

func newMeeting(t *testing.T, base scene, first, second walkOp) *meeting {
	t.Helper()
	if first.run == nil || second.run == nil {
		t.Fatal("no such operation")
	}
	m := &meeting{second: second}
	both := first
	both.prepare, both.before = inTurn(first.prepare, second.prepare), inTurn(first.before, second.before)
	m.walk = *newWalk(t, base, both)
	for _, secondFirst := range []bool{false, true} {
		m.on(func(_ string, s *storetest.Store) *storetest.Store {
			var o outcome
			if secondFirst {
				o.second = m.second.run(t.Context(), s.Store) == nil
			}
			o.first = m.op.run(t.Context(), s.Store) == nil
			if !secondFirst {
				o.second = m.second.run(t.Context(), s.Store) == nil
			}
			s = m.again(s)
			m.allowed = append(m.allowed, m.complete(s, o))
			return s
		})
	}
	return m
}

// inTurn does one after the other; both may be nil.
func inTurn(a, b func(t *testing.T, s *storetest.Store)) func(t *testing.T, s *storetest.Store) {
	return func(t *testing.T, s *storetest.Store) {
		t.Helper()
		for _, f := range []func(t *testing.T, s *storetest.Store){a, b} {
			if f != nil {
				f(t, s)
			}
		}
	}
}

// complete looks at the store as the next process does.
func (m *meeting) complete(s *storetest.Store, o outcome) outcome {
	m.t.Helper()
	o.look = lookAt(m.t, s)
	return o
}

// shortPauses is how many steps of an operation the short form stops at, fullPauses the
// full one: they take a while, since one often waits for the other.
const shortPauses, fullPauses = 2, 4

func (m *meeting) all() {
	m.t.Helper()
	n := fullPauses
	if testing.Short() {
		n = shortPauses
	}
	for i, at := range sample(m.op.name+m.second.name, m.passages, n) {
		if m.try(at, i%2 == 0); m.t.Failed() {
			m.t.Fatalf("paused at %s", at)
		}
	}
}

// try pauses the first operation once.
func (m *meeting) try(at passage, sameProcess bool) {
	m.t.Helper()
	m.on(func(dir string, s *storetest.Store) *storetest.Store {
		m.t.Helper()
		beside := s
		if !sameProcess {
			beside = m.open(m.t, dir)
			defer func() { must(m.t, beside.Close(context.Background())) }()
		}
		o, what := m.run(dir, at, s.Store, beside.Store)
		s = m.again(s)
		m.check(m.complete(s, o), what)
		return s
	})
}

// head start is how long the second operation has before the first one goes on, since it
// may wait for it.
const headStart = 20 * time.Millisecond

func (m *meeting) run(dir string, at passage, s, beside *strata.Store) (o outcome, what string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reached, resume := make(chan struct{}), make(chan struct{})
	defer faults.Enable(faults.Rule{Point: at.point, Under: dir, Skip: at.skip, Times: 1, Do: func() {
		close(reached)
		<-resume
	}})()
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- m.op.run(ctx, s) }()
	var errFirst, errSecond error
	select {
	case <-reached:
	case errFirst = <-first: // it took another way this time
		first <- errFirst
	}
	go func() { second <- m.second.run(ctx, beside) }()
	select {
	case errSecond = <-second:
		second <- errSecond
	case <-time.After(headStart):
	}
	close(resume)
	errFirst, errSecond = <-first, <-second
	return outcome{first: errFirst == nil, second: errSecond == nil}, fmt.Sprintf("%v; %v", errFirst, errSecond)
}

// check finds the outcome among those that are allowed.
func (m *meeting) check(o outcome, what string) {
	m.t.Helper()
	if m.t.Failed() || slices.Contains(m.allowed, o) {
		return
	}
	m.t.Errorf("not what one after the other gives: %s", what)
	for i, a := range m.allowed {
		m.t.Logf("order %d: done %t and %t, now %t and %t:\n%s%s%s", i, a.first, a.second, o.first, o.second,
			difference(a.records, o.records), difference(a.files, o.files), difference(a.findings, o.findings))
	}
}
