package overlay

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// config is that of a driver in the graph root root, with a run root inside of it.
func config(root string, options ...graphdriver.Option) graphdriver.Config {
	return graphdriver.Config{
		Root: root, Home: filepath.Join(root, Name), RunHome: filepath.Join(root, "run", Name), Options: options,
	}
}

// openAt opens a driver, and takes the private mount of its home away at the end.
func openAt(t testing.TB, root string, options ...graphdriver.Option) *driver {
	t.Helper()
	d, err := open(t.Context(), config(root, options...), mountapi.Auto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Cleanup(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return d
}

func suite(t *testing.T, api mountapi.API, options ...graphdriver.Option) drivertest.Suite {
	t.Helper()
	return drivertest.Suite{
		New: func(t testing.TB, root string) graphdriver.Driver {
			t.Helper()
			d, err := open(t.Context(), config(root, options...), api)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Caps: drivertest.Caps{
			NeedsRoot: true, Mounts: true, Stager: true, Trasher: true, Lister: true, DiffGetter: true, MountState: true, Reowns: true,
			Shifter: shifts(t), MaxDepth: 300,
		},
	}
}

func TestDriver(t *testing.T) { suite(t, mountapi.Auto).Run(t) }

func TestDriverClassicMounts(t *testing.T) { suite(t, mountapi.Classic).Run(t) }

func TestDriverSharedHome(t *testing.T) {
	suite(t, mountapi.Auto, graphdriver.Option{Key: "skip_mount_home", Value: "true"}).Run(t)
}

// shifts asks the kernel about the file system of temporary directories, and leaves nothing
// there: the suite runs this in processes that get killed.
func shifts(t *testing.T) bool {
	t.Helper()
	testutil.RequireRoot(t)
	ns, err := mountapi.UserNamespace(probeMapping())
	if err != nil {
		return false
	}
	defer ns.Close()
	tree, err := mountapi.Clone(os.TempDir())
	if err != nil {
		return false
	}
	defer tree.Close()
	return tree.ShiftIDs(ns) == nil
}

// rootlessEnv is set in the process that plays an ordinary user.
const rootlessEnv = "STRATA_OVERLAY_ROOTLESS"

// TestRootless runs the suite without the host's privileges: in a user namespace, where
// neither trusted attributes nor devices can be made.
func TestRootless(t *testing.T) {
	testutil.RequireRoot(t)
	if os.Getenv(rootlessEnv) == "" {
		inUserNamespace(t)
		return
	}
	drivertest.Suite{
		New: func(t testing.TB, root string) graphdriver.Driver {
			t.Helper()
			cfg := config(root)
			cfg.Rootless = true
			d, err := New(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Caps: drivertest.Caps{
			Mounts: true, Stager: true, Trasher: true, Lister: true, DiffGetter: true, MountState: true, Reowns: true, NoOwners: true,
		},
	}.Run(t)
}

// inUserNamespace runs this test again in namespaces of its own.
func inUserNamespace(t *testing.T) {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRootless$", "-test.v")
	cmd.Env = append(os.Environ(), rootlessEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: TestRootless") {
		t.Fatalf("nothing was tested:\n%s", out)
	}
}
