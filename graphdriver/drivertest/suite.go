// Package drivertest holds the conformance suite that every graph driver passes,
// whole, and the random histories that compare two drivers.
//
// A driver's own test is a factory and one call:
//
//	func TestDriver(t *testing.T) {
//		drivertest.Suite{
//			New:  func(t testing.TB, root string) graphdriver.Driver { ... open it in root ... },
//			Caps: drivertest.Caps{NeedsRoot: true, Mounts: true, Stager: true, ...},
//		}.Run(t)
//	}
//
// Every case has a graph root of its own and runs in parallel with the others. What a
// driver can not do is declared in Caps and nowhere else: no case knows a driver's name.
// A bug that was found in a driver becomes a case here.
//
// Some cases need a process that dies with a layer in its hands. For these the suite
// starts the test program again, with only the test that called Run, and Run plays the
// victim when it finds STRATA_DRIVERTEST_VICTIM in its environment (see killed).
package drivertest

import (
	"os"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// Caps declare what a driver can do. The zero value is a driver that anybody can open, that
// mounts nothing and has no optional powers.
type Caps struct {
	// NeedsRoot: the driver can only be opened by root. Other users skip the suite.
	NeedsRoot bool
	// Mounts: Get makes a mount that the last Put takes away, and a read-only Get
	// can not be written through. Otherwise a layer's directory is always visible (vfs).
	Mounts bool
	// Stager, Trasher, Lister, DiffGetter and MountState: the driver has that optional
	// power. The suite fails when the declaration and the driver disagree.
	Stager, Trasher, Lister, DiffGetter, MountState bool
	// Shifter: the driver can shift owners while mounting, on this host.
	Shifter bool
	// Reowns: the driver makes copies with other owners (graphdriver.Capabilities).
	Reowns bool
	// NoOwners: only files of one's own can be made, so cases about owners, devices
	// and file capabilities are skipped.
	NoOwners bool
	// MaxDepth is the longest chain that the deep-chain case makes; 0 means 130.
	MaxDepth int
}

// Suite is the conformance suite for one driver.
type Suite struct {
	// New opens the driver with the graph root root, a directory that belongs to the case.
	// It is called again with the same root to play another process; the driver's run root
	// has to be the same then, so derive it from root.
	New  func(t testing.TB, root string) graphdriver.Driver
	Caps Caps
}

// testCase is one story.
type testCase struct {
	name string
	// needs are the capabilities without which the case means nothing.
	needs []need
	run   func(e *env)
}

// need is a condition with the reason for skipping when it is not met.
type need struct {
	reason string
	met    func(Caps) bool
}

var (
	needsMounts     = need{"the driver mounts nothing", func(c Caps) bool { return c.Mounts }}
	needsOwners     = need{"the driver can not set owners", func(c Caps) bool { return !c.NoOwners }}
	needsStager     = need{"the driver has no Stager", func(c Caps) bool { return c.Stager }}
	needsTrasher    = need{"the driver has no Trasher", func(c Caps) bool { return c.Trasher }}
	needsLister     = need{"the driver has no Lister", func(c Caps) bool { return c.Lister }}
	needsDiffGetter = need{"the driver has no DiffGetter", func(c Caps) bool { return c.DiffGetter }}
	needsShifter    = need{"the driver can not shift owners here", func(c Caps) bool { return c.Shifter }}
	needsReowns     = need{"the driver makes no copies with other owners", func(c Caps) bool { return c.Reowns }}
	needsMountState = need{"the driver has no MountState", func(c Caps) bool { return c.MountState }}
)

// cases returns the whole suite.
func cases() []testCase {
	var all []testCase
	for _, part := range [][]testCase{
		layerCases(), mountCases(), entryCases(), whiteoutCases(), badTarCases(),
		changesCases(), diffCases(), stageCases(), trashCases(), parallelCases(), reownCases(),
	} {
		all = append(all, part...)
	}
	return all
}

// Run runs every case, each with its own root, in parallel.
func (s Suite) Run(t *testing.T) {
	if s.Caps.NeedsRoot {
		testutil.RequireRoot(t)
	}
	if victim := os.Getenv(victimEnv); victim != "" {
		s.die(t, victim, os.Getenv(rootEnv))
	}
	parent := t.Name()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range c.needs {
				if !n.met(s.Caps) {
					t.Skip(n.reason)
				}
			}
			c.run(newEnv(t, s, parent))
		})
	}
}
