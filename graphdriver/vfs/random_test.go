package vfs_test

import (
	"flag"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/internal/testutil"
)

var (
	seeds = flag.Int("seeds", 4, "random histories to play")
	first = flag.Uint64("seed", 1, "the first of them")
)

// TestRandom compares the driver with itself: what differs from run to run, or survives a diff
// badly, shows without another driver.
func TestRandom(t *testing.T) {
	testutil.RequireRoot(t)
	if rootless(t) {
		t.Skip("histories have owners and devices")
	}
	for n := range *seeds {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			drivers := [2]graphdriver.Driver{}
			for i, name := range []string{"a", "b"} {
				drivers[i] = open(t, filepath.Join(t.TempDir(), name))
			}
			drivertest.Random(t, drivers[0], drivers[1], *first+uint64(n), 150)
		})
	}
}

func BenchmarkDriver(b *testing.B) { suite(b).Bench(b) }
