//go:build linux && amd64

package faulttest_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/internal/testutil"
)

// drivers are those that the verbs are tried with.
var drivers = []string{"overlay", "vfs"}

// most returns how many points of each verb are tried: few, unless STRATA_FAULTS is
// "whole" or a number. The whole is every call, up to a thousand.
func most(t testing.TB, few int) int {
	t.Helper()
	switch text := os.Getenv("STRATA_FAULTS"); text {
	case "":
		return few
	case "whole":
		return 1000
	default:
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("STRATA_FAULTS: %v", err)
		}
		return n
	}
}

// sample returns up to most numbers from 1 to n, others for each seed: so that many verbs
// that have most of their steps in common try all of these.
func sample(n, most, seed int) []int {
	var out []int
	most = min(n, most)
	for i := range most {
		out = append(out, (i*n/most+seed)%n+1)
	}
	return out
}

// trial is one verb on one bench, with what it has to start from and to lead to.
type trial struct {
	*bench
	verb   verb
	calls  []string // those that change something
	opened []string // those that open something
	before findings
	after  findings
	// written are the files that the verb writes outside of the store.
	written []string
	// listings before and after, with the garbage collected, and what there may be before that.
	old, new, made listing
	tally          tally
}

// tally counts what was tried and found.
type tally struct{ points, broken, leaked int }

// log writes a line for scripts/faults, and begins anew.
func (y *tally) log(t testing.TB, what, kind string, calls []string) {
	t.Helper()
	t.Logf("%s %-12s %4d calls, %4d points: %d broken, %d leaked", what, kind, len(calls), y.points, y.broken, y.leaked)
	*y = tally{}
}

// add counts a point, and reports what was wrong there.
func (y *tally) add(t testing.TB, what string, broken, leaked []string) {
	t.Helper()
	y.points++
	if len(broken) > 0 {
		y.broken++
		t.Errorf("%s: broken:\n\t%s", what, strings.Join(broken, "\n\t"))
	}
	if len(leaked) > 0 {
		y.leaked++
		t.Errorf("%s: leaked:\n\t%s", what, strings.Join(leaked, "\n\t"))
	}
}

// newTrial runs the verb undisturbed and counts its calls of the class.
func newTrial(b *bench, v verb, class faulttest.Class) *trial {
	b.t.Helper()
	x := &trial{bench: b, verb: v}
	x.ready()
	x.old = x.listing()
	x.before = x.examine(true)
	if v.plant == nil {
		x.old = x.listing() // what was planted may stay when the verb fails
	}
	x.ready()
	r := x.traced(faulttest.Plan{Class: class}, v.args...)
	if r.Exited() != 0 {
		b.t.Fatalf("undisturbed: exit %d: %s", r.Exited(), r.Stderr)
	}
	x.calls, x.written = r.Calls, x.outputs()
	x.made = x.listing()
	x.after = x.examine(true)
	if x.new = x.listing(); !v.garbage {
		x.made = x.new
	}
	for _, f := range []findings{x.before, x.after} {
		if f.Error != "" {
			b.t.Fatal(f.Error)
		}
	}
	return x
}

// ready makes the store that the verb begins with.
func (x *trial) ready() {
	x.t.Helper()
	x.restore()
	for _, words := range x.verb.prepare {
		x.strata(words...)
	}
	if x.verb.plant != nil {
		x.verb.plant(x.bench)
	}
}

// countOpened runs the verb undisturbed once more and counts what it opens.
func (x *trial) countOpened() {
	x.t.Helper()
	x.ready()
	x.opened = x.traced(faulttest.Plan{Class: faulttest.Opening}, x.verb.args...).Calls
}

// outputs are the files outside of the store, each with all that is to be said of it.
func (x *trial) outputs() []string {
	x.t.Helper()
	return testutil.Tree(x.t, x.out(), testutil.IgnoreRoot, testutil.IgnoreMtime)
}

// compareOutputs demands of the files outside of the store that each is whole, and when
// the verb is done that all are there and no others. Until then there may be one with a
// name of its own, which begins with a dot.
func (p *point) compareOutputs(done bool) {
	p.t.Helper()
	now := p.outputs()
	if done {
		if diff := cmp.Diff(p.written, now); diff != "" {
			p.breaks("files outside of the store: %s", diff)
		}
		return
	}
	for _, line := range now {
		if !slices.Contains(p.written, line) && !strings.HasPrefix(line, `".`) {
			p.breaks("outside of the store there is %s", line)
		}
	}
}

func (x *trial) examine(collect bool) findings {
	x.t.Helper()
	return examine(x.t, task{Graph: x.graph(), Run: x.runRoot(), Driver: x.driver, Collect: collect})
}

func (x *trial) listing() listing { return list(x.t, x.graph(), x.runRoot()) }

// point is one place where a run was disturbed, and what was wrong afterwards.
type point struct {
	*trial
	what           string
	broken, leaked []string
}

func (p *point) breaks(format string, args ...any) {
	p.broken = append(p.broken, fmt.Sprintf(format, args...))
}

// report adds the point to the tally.
func (p *point) report() {
	p.t.Helper()
	p.tally.add(p.t, p.what, p.broken, p.leaked)
}

// compare demands of each object that it is as before the verb or as after it.
// Objects that neither knows are garbage at best.
func (p *point) compare(when string, got state) {
	keys := maps.Clone(p.before.After)
	maps.Copy(keys, p.after.After)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		now, old, new := got[key], p.before.After[key], p.after.After[key]
		switch {
		case now == old || now == new:
		case strings.HasPrefix(key, "mount of "):
			// A count that nothing is mounted for, or a mount that is not counted, is what
			// interruptions leave; the next mounting or deletion puts it right.
			// That of a copy goes with it.
			copied := when != whenFound && p.verb.args[0] == "copy"
			if when == whenDone || copied || when == whenFailed && strings.HasSuffix(now, "live true") && p.verb.settle == nil {
				p.breaks("%s: %s is %q, not %q", when, key, now, new)
			}
		case key == p.verb.gradual && when != whenDone && now != "" && !strings.Contains(now, "BROKEN"):
		case old == "" && new == "" && strings.HasPrefix(key, "layer "):
			if when != whenFound {
				p.leaked = append(p.leaked, fmt.Sprintf("%s: %s: %s", when, key, now))
			}
		default:
			p.breaks("%s: %s\n\t\tis  %s\n\t\twas %s\n\t\tor  %s", when, key, now, old, new)
		}
	}
	p.leaked = append(p.leaked, p.strays(when, got)...)
}

// The moments of a comparison.
const (
	whenFound     = "after it"
	whenFailed    = "after the error"
	whenCollected = "after gc"
	whenDone      = "done again"
)

// look examines what a disturbance left.
func (p *point) look(when string) (f findings, ok bool) {
	f = p.examine(true)
	if f.Error != "" {
		p.breaks("%s: %s", when, f.Error)
		return f, false
	}
	if when == whenFound {
		p.compare(when, f.Before)
		when = whenCollected
	}
	p.compare(when, f.After)
	for _, problem := range f.Problems {
		if !slices.Contains(p.before.Problems, problem) && !slices.Contains(p.after.Problems, problem) && problem != "mount-count layer" {
			p.breaks("%s: check finds %s", when, problem)
		}
	}
	return f, true
}

// settled does what a person does about mounts that are left.
func (p *point) settled(f findings) (findings, bool) {
	p.t.Helper()
	if p.verb.settle == nil {
		return f, true
	}
	_, _ = p.try(p.verb.settle...) // nothing may be mounted
	return p.look(whenCollected)
}

// again runs the verb once more, where it was not done, and demands its result.
func (p *point) again(f findings) {
	done := maps.Equal(f.After, p.after.After) && !maps.Equal(p.before.After, p.after.After)
	if !done {
		if _, err := p.try(p.verb.args...); err != nil && !p.half(f.After) {
			p.breaks("the verb again: %v", err)
		}
	}
	p.compareOutputs(true)
	if f, ok := p.look(whenDone); ok {
		if !maps.Equal(f.After, p.after.After) {
			p.breaks("done again: not what the verb leads to")
			p.only(f.After)
		}
		p.leaked = append(p.leaked, p.listing().between(p.new, p.new)...)
	}
}

// half reports whether the verb was done as far as its user can tell: what it had to
// remove is gone.
func (p *point) half(now state) bool {
	for key := range p.before.After {
		if _, stays := p.after.After[key]; !stays && now[key] == "" {
			return true
		}
	}
	return false
}

// only names what differs from the verb's result.
func (p *point) only(now state) {
	keys := maps.Clone(now)
	maps.Copy(keys, p.after.After)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if now[key] != p.after.After[key] {
			p.breaks("\t%s\n\t\tis  %s\n\t\tnot %s", key, now[key], p.after.After[key])
		}
	}
}

// TestVerbs kills each verb before some, or all, of its calls, and lets them fail.
func TestVerbs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute or more")
	}
	testutil.RequireProgram(t, engine)
	c := newCommon(t)
	t.Run("verbs", func(t *testing.T) {
		for i, v := range verbs() {
			for j, driver := range drivers {
				// A sample of the points is tried with one driver each.
				mine := os.Getenv("STRATA_FAULTS") != "" || i%len(drivers) == j
				if v.driver != "" && v.driver != driver || v.driver == "" && !mine {
					continue
				}
				t.Run(v.name+"/"+driver, func(t *testing.T) {
					t.Parallel()
					newTrial(c.benchFor(t, v, driver), v, faulttest.Mutating).all(i)
				})
			}
		}
	})
}

// all tries whatever can go wrong.
func (x *trial) all(seed int) {
	x.t.Helper()
	for _, n := range sample(len(x.calls), most(x.t, 3), seed) {
		x.kill(n)
	}
	x.summarize("kill", x.calls)
	x.fails(seed)
	x.summarize("error", x.calls)
	x.countOpened()
	x.starves(seed)
	x.summarize("descriptors", x.opened)
	x.clear()
}

// summarize logs what was tried.
func (x *trial) summarize(kind string, calls []string) {
	x.t.Helper()
	x.tally.log(x.t, fmt.Sprintf("%-26s %-8s", x.verb.name, x.driver), kind, calls)
}

func (x *trial) kill(n int) {
	x.t.Helper()
	x.ready()
	r := x.traced(faulttest.Plan{Action: faulttest.Kill, Call: n}, x.verb.args...)
	p := &point{trial: x, what: fmt.Sprintf("killed before call %d, %s", n, r.Hit)}
	if r.Hit == "" {
		return // this run had fewer calls
	}
	first := n%2 == 0
	if first {
		// The other engine is the first to meet what is left.
		if _, err := p.listed(engine); err != nil {
			p.breaks("%v", err)
		}
	}
	f, ok := p.look(whenFound)
	if ok {
		if !first || os.Getenv("STRATA_FAULTS") != "" { // a sample is held to one of the two
			p.sameEngine()
		}
		f, ok = p.settled(f)
	}
	if ok {
		p.leaked = append(p.leaked, p.listing().between(p.old, p.new)...)
		p.compareOutputs(false)
		p.again(f)
	}
	p.report()
}
