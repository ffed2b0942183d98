package plugin_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/graphdriver/overlay"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/internal/pluginsock"
	"github.com/stratastore/strata/internal/testutil"
)

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// serve runs a server on socket until the test ends or stop is called.
func serve(t testing.TB, socket string, init graphdriver.Init, opts plugin.ServerOptions) (stop func() error) {
	t.Helper()
	s, err := plugin.NewServer(init, opts)
	must(t, err)
	l, err := pluginsock.Listen(t.Context(), socket, 0o600)
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { must(t, stop()) })
	return stop
}

// socketFor is where the server of a graph root listens: tests of one root find the same one,
// also in other processes.
func socketFor(root string) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("strata-driver-%x.sock", sha256.Sum256([]byte(root)))[:40])
}

// quick are options for tests in which nothing takes long.
func quick() plugin.ClientOptions {
	return plugin.ClientOptions{Handshake: time.Minute, Timeout: time.Minute, LongTimeout: time.Minute, Stall: time.Minute, Retry: -1}
}

// pair opens a plugin driver in root whose server offers the driver of init.
func pair(t testing.TB, root string, init graphdriver.Init, driver string) graphdriver.Driver {
	t.Helper()
	socket := socketFor(root)
	if conn, err := net.Dial("unix", socket); err == nil {
		_ = conn.Close()
	} else {
		serve(t, socket, init, plugin.ServerOptions{Driver: driver, Logger: slog.New(slog.DiscardHandler)})
	}
	d, err := plugin.New("behind", plugin.Address{Addr: "unix://" + socket}, quick())(t.Context(), graphdriver.Config{
		Root: root, Home: filepath.Join(root, "behind"), RunHome: filepath.Join(root, "run", "behind"), Sync: graphdriver.SyncNone,
	})
	must(t, err)
	return d
}

func suite(init graphdriver.Init, driver string, caps drivertest.Caps) drivertest.Suite {
	caps.NeedsRoot, caps.Reowns = true, true
	return drivertest.Suite{
		New:  func(t testing.TB, root string) graphdriver.Driver { t.Helper(); return pair(t, root, init, driver) },
		Caps: caps,
	}
}

func TestVFSBehindAPlugin(t *testing.T) { suite(vfs.New, vfs.Name, drivertest.Caps{}).Run(t) }

func TestOverlayBehindAPlugin(t *testing.T) {
	suite(overlay.New, overlay.Name, drivertest.Caps{Mounts: true, MaxDepth: 130}).Run(t)
}

// TestRandom compares plugins with vfs in this process.
func TestRandom(t *testing.T) {
	testutil.RequireRoot(t)
	for name, init := range map[string]graphdriver.Init{vfs.Name: vfs.New, overlay.Name: overlay.New} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s, seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				root := t.TempDir()
				reference, err := vfs.New(t.Context(), graphdriver.Config{
					Root: root, Home: filepath.Join(root, vfs.Name), RunHome: filepath.Join(root, "run", vfs.Name), Sync: graphdriver.SyncNone,
				})
				must(t, err)
				d := pair(t, filepath.Join(root, "graph"), init, name)
				t.Cleanup(func() { must(t, d.Cleanup(context.WithoutCancel(t.Context()))) })
				drivertest.Random(t, reference, d, seed, 100)
			})
		}
	}
}
