package vfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/graphdriver/vfs"
)

// rootless tells whether the tests run as the root of a user namespace that has only one user:
// then owners and devices are out of reach (try: unshare -r go test ./graphdriver/vfs).
func rootless(t testing.TB) bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return !strings.HasSuffix(strings.TrimSpace(string(b)), " 4294967295")
}

// open opens the driver in root, with a run root beside it.
func open(t testing.TB, root string, change ...func(*graphdriver.Config)) graphdriver.Driver {
	t.Helper()
	cfg := graphdriver.Config{
		Root: root, Home: filepath.Join(root, vfs.Name), RunHome: filepath.Join(filepath.Dir(root), "run", vfs.Name),
		Sync: graphdriver.SyncNone, Rootless: rootless(t),
	}
	for _, c := range change {
		c(&cfg)
	}
	d, err := vfs.New(t.Context(), cfg)
	must(t, err)
	return d
}

func newDriver(t testing.TB, root string, options ...graphdriver.Option) (graphdriver.Driver, error) {
	return vfs.New(t.Context(), graphdriver.Config{Root: root, Home: filepath.Join(root, vfs.Name), Options: options})
}

func suite(t testing.TB) drivertest.Suite {
	return drivertest.Suite{
		New: func(t testing.TB, root string) graphdriver.Driver { return open(t, root) },
		Caps: drivertest.Caps{
			NeedsRoot: true, NoOwners: rootless(t),
			Stager: true, Trasher: true, Lister: true, DiffGetter: true, MountState: true, Reowns: true,
		},
	}
}

func TestConformance(t *testing.T) { suite(t).Run(t) }
