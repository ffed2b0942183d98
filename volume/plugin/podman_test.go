package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume/ontop"
)

// The variables that turn the test binary into a plugin.
const (
	serveSocket = "STRATA_TEST_PLUGIN_SOCKET"
	serveState  = "STRATA_TEST_PLUGIN_STATE"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveSocket) != "" {
		if err := servePlugin(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func servePlugin() error {
	d, err := ontop.New(context.Background(), ontop.Options{Root: os.Getenv(serveState)})
	if err != nil {
		return err
	}
	l, err := Listen(context.Background(), os.Getenv(serveSocket))
	if err != nil {
		return err
	}
	return Serve(context.Background(), l, d, ServerOptions{})
}

// engine is podman over a store of the test's own, with a plugin in a process of its own.
type engine struct {
	t      *testing.T
	dir    string
	plugin *exec.Cmd
}

func (e *engine) path(name string) string { return filepath.Join(e.dir, name) }

// podman runs a command and returns its output.
func (e *engine) podman(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	common := []string{"--root", e.path("root"), "--runroot", e.path("run"), "--tmpdir", e.path("tmp"), "--storage-driver", "overlay"}
	cmd := exec.CommandContext(ctx, "podman", append(common, args...)...)
	cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+e.path("containers.conf"))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (e *engine) must(args ...string) string {
	e.t.Helper()
	out, err := e.podman(args...)
	if err != nil {
		e.t.Fatalf("podman %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// run runs a command in a container that has the volume at /dot.
func (e *engine) run(script string) string {
	e.t.Helper()
	return e.must("run", "--rm", "--network=none", "-v", "V:/dot", "localhost/bb:1", "/bin/sh", "-c", script)
}

func (e *engine) start() {
	e.t.Helper()
	e.plugin = exec.Command(os.Args[0])
	e.plugin.Env = append(os.Environ(), serveSocket+"="+e.path("p.sock"), serveState+"="+e.path("state"))
	e.plugin.Stderr = os.Stderr
	must(e.t, e.plugin.Start())
	for range 200 {
		if c, err := NewClient("p", Address{Addr: "unix://" + e.path("p.sock")}, ClientOptions{Retry: -1}); err == nil {
			if _, err := c.List(context.Background()); err == nil {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	e.t.Fatal("the plugin does not answer")
}

func (e *engine) kill() {
	_ = e.plugin.Process.Signal(syscall.SIGKILL)
	_ = e.plugin.Wait()
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, "podman")
	runc, busybox := testutil.RequireProgram(t, "runc"), testutil.RequireProgram(t, "busybox")
	// Not t.TempDir, which is deleted even while something is mounted in it.
	dir, err := os.MkdirTemp("", "pv") //nolint:usetesting // see above
	must(t, err)
	e := &engine{t: t, dir: dir}
	must(t, os.WriteFile(e.path("containers.conf"), []byte(`[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.runtimes]
runc = ["`+runc+`"]
[engine.volume_plugins]
strata-ontop = "`+e.path("p.sock")+`"
`), 0o600))
	for _, name := range []string{"fs/bin", "fs/etc", "fs/proc", "fs/dev", "fs/sys", "fs/tmp", "base"} {
		must(t, os.MkdirAll(e.path(name), 0o755))
	}
	program, err := os.ReadFile(busybox)
	must(t, err, os.WriteFile(e.path("fs/bin/busybox"), program, 0o755))
	for _, applet := range []string{"sh", "ls", "cat", "echo", "rm", "mv", "sleep", "touch"} {
		must(t, os.Symlink("busybox", e.path("fs/bin/"+applet)))
	}
	e.start()
	t.Cleanup(e.clean)
	if out, err := exec.Command("tar", "-C", e.path("fs"), "-cf", e.path("fs.tar"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	e.must("import", e.path("fs.tar"), "localhost/bb:1")
	if out, err := e.podman("run", "--rm", "--network=none", "localhost/bb:1", "/bin/echo", "hello"); err != nil || !strings.HasSuffix(out, "hello") {
		t.Skipf("podman can not run a container on this host: %v: %s", err, out)
	}
	return e
}

func (e *engine) clean() {
	_, _ = e.podman("rm", "-fa", "-t", "0")
	_, _ = e.podman("volume", "rm", "-fa")
	_, _ = e.podman("rmi", "-fa")
	e.kill()
	_ = mountapi.Detach(e.path("state/V/mountpoint"))
	_ = mountapi.Detach(e.path("root/overlay"))
	if below, err := mountapi.AnyBelow(e.dir); err != nil || below {
		e.t.Errorf("something is still mounted below %s: %v", e.dir, err)
		return
	}
	must(e.t, os.RemoveAll(e.dir))
}

func TestPodman(t *testing.T) {
	e := newEngine(t)
	must(t, os.WriteFile(e.path("base/file"), []byte("base"), 0o644), os.WriteFile(e.path("base/gone"), nil, 0o644))
	before := testutil.Tree(t, e.path("base"), testutil.IgnoreXattrs)

	if out, err := e.podman("volume", "create", "--driver", "strata-ontop", "-o", "base=relative", "V"); err == nil || !strings.Contains(out, "must be an absolute path") {
		t.Errorf("error does not reach the user: %v %s", err, out)
	}
	e.must("volume", "create", "--driver", "strata-ontop", "-o", "base="+e.path("base"), "V")
	if out := e.run("cat /dot/file; echo new > /dot/file; rm /dot/gone; mv /dot/file /dot/moved; touch /dot/file"); out != "base" {
		t.Errorf("container reads %q", out)
	}
	if out := e.run("ls /dot; cat /dot/moved"); out != "file\nmoved\nnew" {
		t.Errorf("second container sees %q", out)
	}
	after := testutil.Tree(t, e.path("base"), testutil.IgnoreXattrs)
	if strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Errorf("the base changed: %v", after)
	}

	// Two at once, the plugin killed meanwhile and started again.
	for _, c := range []string{"c1", "c2"} {
		e.must("run", "-d", "--name", c, "--network=none", "-v", "V:/dot", "localhost/bb:1", "/bin/sleep", "60")
	}
	e.must("exec", "c1", "/bin/sh", "-c", "echo shared > /dot/shared")
	if out := e.must("exec", "c2", "/bin/cat", "/dot/shared"); out != "shared" {
		t.Errorf("the other container reads %q", out)
	}
	e.must("cp", "c1:/dot/shared", e.path("copied"))
	if out, err := e.podman("volume", "rm", "V"); err == nil {
		t.Errorf("a volume in use is removed: %s", out)
	}
	e.kill()
	if out := e.must("exec", "c1", "/bin/cat", "/dot/shared"); out != "shared" {
		t.Errorf("without the plugin the container reads %q", out)
	}
	e.start()
	e.must("rm", "-f", "-t", "0", "c1", "c2")
	if mounted, err := mountapi.IsMountPoint(e.path("state/V/mountpoint")); mounted || err != nil {
		t.Errorf("still mounted: %v", err)
	}

	// Away for good: an error, in time.
	e.kill()
	start := time.Now()
	if out, err := e.podman("volume", "inspect", "V"); err == nil || time.Since(start) > 30*time.Second {
		t.Errorf("without the plugin, after %s: %s", time.Since(start), out)
	}
	e.start()
	e.must("volume", "rm", "V")
	if _, err := os.Stat(e.path("state/V")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the volume is left")
	}
}
