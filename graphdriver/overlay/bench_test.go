package overlay

import (
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/internal/mountapi"
)

func BenchmarkDriver(b *testing.B) {
	drivertest.Suite{
		New: func(t testing.TB, root string) graphdriver.Driver {
			d, err := open(t.Context(), config(root), mountapi.Auto)
			must(t, err)
			return d
		},
		Caps: drivertest.Caps{NeedsRoot: true, Mounts: true, MaxDepth: 300},
	}.Bench(b)
}
