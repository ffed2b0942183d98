package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/testutil"
)

// serveDriver offers a driver to the engines of this host under a name of its own, until the
// test ends or stop is called.
func serveDriver(t *testing.T, name string, args ...string) (stop func()) {
	t.Helper()
	socket := filepath.Join("/run/docker/plugins", name+".sock")
	var log bytes.Buffer
	cmd := exec.Command(binary, append([]string{"driver", "serve", "--socket", socket}, args...)...)
	cmd.Stderr = &log
	must(t, cmd.Start())
	stop = func() {
		if cmd.ProcessState != nil {
			return
		}
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			t.Errorf("driver serve: %v\n%s", err, log.Bytes())
		}
		if _, err := os.Lstat(socket); err == nil {
			t.Errorf("%s is left", socket)
		}
	}
	t.Cleanup(stop)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			must(t, conn.Close())
			return stop
		}
		if time.Now().After(deadline) {
			t.Fatalf("driver serve: %v\n%s", err, log.Bytes())
		}
	}
}

// TestDockerOnAPluginDriver: Docker's engine keeps its layers in a driver of strata, builds and runs
// images there, and what it saves is what strata reads; the server may be started anew meanwhile.
func TestDockerOnAPluginDriver(t *testing.T) {
	testutil.RequireRoot(t)
	for _, name := range []string{"apt-get", "dpkg-deb", "runc"} {
		testutil.RequireProgram(t, name)
	}
	for _, driver := range []string{"vfs", "overlay"} {
		t.Run(driver, func(t *testing.T) {
			name := fmt.Sprintf("strata-e2e-%d-%s", os.Getpid(), driver)
			r := newRoots(t, "overlay")
			// The engine names its own home, so the first server takes any.
			stop := serveDriver(t, name, "--driver", driver)
			e := startDocker(t, name, "--experimental")
			if out := e.docker("info", "--format", "{{.Driver}}"); out != name {
				t.Fatalf("the engine works with driver %s", out)
			}
			save := buildWithDocker(e)
			stop()
			serveDriver(t, name, "--driver", driver, "--home", filepath.Join(e.root(), name))
			if got := e.docker("run", "--rm", "--network=none", "app:1"); got != "new\none" {
				t.Errorf("docker run, the server started anew: %q", got)
			}
			e.stop()
			r.strata("load", save)
			compareWithSave(r, readSave(t, save))
		})
	}
}
