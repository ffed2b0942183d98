//go:build linux && amd64

package faulttest_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faulttest"
)

// ended is what is wrong with how a command ended in which a call had failed: it ends by itself,
// and says why if it could not do its work.
func ended(r *faulttest.Report, cause unix.Errno) (broken []string) {
	if r.Hung || r.Exited() < 0 || r.Exited() == 2 {
		broken = append(broken, fmt.Sprintf("hung %t, status %x: %s", r.Hung, r.Status, r.Stderr))
	}
	if r.Exited() > 0 && !strings.Contains(r.Stdout+r.Stderr, cause.Error()) {
		broken = append(broken, "the message does not name the cause: "+r.Stderr)
	}
	return broken
}

// fails lets calls of the verb fail for want of space, or by the disk's fault.
func (x *trial) fails(seed int) {
	x.t.Helper()
	causes := []unix.Errno{unix.ENOSPC, unix.EIO, unix.EDQUOT}
	few := most(x.t, 2)
	for i, n := range sample(len(x.calls), few, seed) {
		for j, cause := range causes {
			// In a sample each call fails for one of the causes only.
			if few >= len(x.calls) || (i+seed)%len(causes) == j {
				x.fail(n, faulttest.Mutating, cause)
			}
		}
	}
}

// starves lets opening fail, as when there are no descriptors left.
func (x *trial) starves(seed int) {
	x.t.Helper()
	for _, n := range sample(len(x.opened), most(x.t, 1), seed) {
		x.fail(n, faulttest.Opening, unix.EMFILE)
	}
}

// fail lets one call fail. The verb reports the cause, or can do without what failed
// and does all that it is to do.
func (x *trial) fail(n int, class faulttest.Class, cause unix.Errno) {
	x.t.Helper()
	x.ready()
	r := x.traced(faulttest.Plan{Action: faulttest.Fail, Class: class, Call: n, Errno: cause}, x.verb.args...)
	if r.Hit == "" {
		return // this run had fewer calls
	}
	p := &point{trial: x, what: fmt.Sprintf("%s at call %d, %s", cause.Error(), n, r.Hit)}
	p.broken = ended(r, cause)
	f := p.examine(false)
	switch {
	case f.Error != "":
		p.breaks("%s: %s", whenFailed, f.Error)
	case r.Exited() == 0 && (!maps.Equal(f.Before, x.after.After) || !slices.Equal(x.outputs(), x.written)):
		p.breaks("reports success, without what was to be done; %s", r.Stderr)
		p.only(f.Before)
	}
	p.compare(whenFailed, f.Before)
	p.compareOutputs(false)
	if p.verb.settle != nil {
		_, _ = p.try(p.verb.settle...) // nothing may be mounted
		f = p.examine(false)
	}
	p.leaked = append(p.leaked, p.listing().without(p.notes()).between(p.old, p.made)...)
	if f.Error == "" {
		f.After = f.Before
		f = p.collectedBefore(f, n%2 == 0)
		p.again(f)
	}
	p.report()
}
