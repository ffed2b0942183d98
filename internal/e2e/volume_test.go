package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/testutil"
)

// volumeUser is an engine that uses the server; podman and docker have the same commands.
type volumeUser struct {
	t      *testing.T
	r      *roots
	server *volumeServer
	driver string
	image  string
	podman bool
	try    func(args ...string) (string, error)
}

func (u *volumeUser) must(args ...string) string {
	u.t.Helper()
	out, err := u.try(args...)
	if err != nil {
		u.t.Fatalf("%s: %v\n%s\nserver:\n%s", strings.Join(args, " "), err, out, u.server.log())
	}
	return out
}

func (u *volumeUser) create(volume string, options ...string) {
	u.t.Helper()
	args := []string{"volume", "create", "--driver", u.driver}
	for _, o := range options {
		args = append(args, "-o", o)
	}
	u.must(append(args, volume)...)
}

func (u *volumeUser) tryRun(volume, script string) (string, error) {
	return u.try("run", "--rm", "--network=none", "-v", volume+":/dot", u.image, "/bin/sh", "-c", script)
}

// run runs a script in a container that has the volume at /dot.
func (u *volumeUser) run(volume, script string) string {
	u.t.Helper()
	out, err := u.tryRun(volume, script)
	if err != nil {
		u.t.Fatalf("run %q: %v\n%s\nserver:\n%s", script, err, out, u.server.log())
	}
	return out
}

// hold runs a container that has the volume until it is removed.
func (u *volumeUser) hold(container, volume string) {
	u.t.Helper()
	u.must("run", "-d", "--name", container, "--network=none", "-v", volume+":/dot", u.image, "/bin/sleep", "600")
}

func (u *volumeUser) letGo(containers ...string) {
	u.t.Helper()
	u.must(append([]string{"rm", "-f"}, containers...)...)
}

// base makes a directory for volumes to be on top of.
func (u *volumeUser) base() string {
	u.t.Helper()
	dir := filepath.Join(u.r.dir, "base,with:odd\\names")
	must(u.t, os.MkdirAll(filepath.Join(dir, "dir"), 0o755))
	must(u.t, os.WriteFile(filepath.Join(dir, "file"), []byte("base"), 0o644))
	must(u.t, os.WriteFile(filepath.Join(dir, "dir", "gone"), nil, 0o644))
	return dir
}

// eachVolumeUser runs f with podman and with Docker, each with a server of its own.
func eachVolumeUser(t *testing.T, f func(t *testing.T, u *volumeUser)) {
	t.Helper()
	t.Run("podman", func(t *testing.T) {
		t.Parallel()
		requireEngines(t)
		r := newRoots(t, "overlay")
		r.podman("import", busyboxTar(t), app)
		socket := filepath.Join(r.dir, "p.sock")
		conf := filepath.Join(r.dir, "containers.conf")
		text, err := os.ReadFile(conf)
		must(t, err)
		r.write(conf, string(text)+fmt.Sprintf("[engine.volume_plugins]\nstrata = %q\n", socket))
		u := &volumeUser{t: t, r: r, driver: "strata", image: app, podman: true, server: serveVolumes(t, r, socket)}
		u.try = func(args ...string) (string, error) {
			if args[0] == "rm" {
				args = append([]string{"rm", "-t", "0"}, args[1:]...)
			}
			common := []string{"--root", r.graph(), "--runroot", r.runRoot(), "--tmpdir", filepath.Join(r.dir, "libpod-tmp"), "--storage-driver", r.driver}
			out, err := r.try("podman", append(common, args...)...)
			return strings.TrimRight(out, "\n"), err
		}
		t.Cleanup(func() { _, _ = u.try("rm", "-fa") })
		f(t, u)
	})
	t.Run("docker", func(t *testing.T) {
		t.Parallel()
		r := newRoots(t, "overlay")
		e := startDocker(t, "overlay2")
		e.docker("import", busyboxTar(t), "bb:1")
		driver := fmt.Sprintf("strata-e2e-%d", os.Getpid()) // found by its socket, which all engines of the host see
		u := &volumeUser{t: t, r: r, driver: driver, image: "bb:1", try: e.try, server: serveVolumes(t, r, "/run/docker/plugins/"+driver+".sock")}
		t.Cleanup(func() {
			if ids, err := e.try("ps", "-aq"); err == nil && ids != "" {
				_, _ = e.try(append([]string{"rm", "-f"}, strings.Fields(ids)...)...)
			}
		})
		f(t, u)
	})
}

// TestVolumesUnderEngines is what a person does with volumes on top of a directory.
func TestVolumesUnderEngines(t *testing.T) {
	eachVolumeUser(t, func(t *testing.T, u *volumeUser) {
		base := u.base()
		before := testutil.Tree(t, base)
		for _, c := range []struct{ option, text string }{
			{"base=relative", "must be an absolute path"}, {"base=" + base + "/none", "the base directory does not exist"},
			{"base=" + base + "/file", "must be a directory"}, {"colour=red", "Invalid option colour"},
		} {
			if out, err := u.try("volume", "create", "--driver", u.driver, "-o", c.option, "bad"); err == nil || !strings.Contains(out, c.text) {
				t.Errorf("%s: the reason does not reach the user: %v %s", c.option, err, out)
			}
		}
		u.create("keeps", "base="+base)
		u.create("fresh", "base="+base, "volatile=yes")
		if out := u.must("volume", "ls", "-q"); !strings.Contains(out, "keeps") || !strings.Contains(out, "fresh") {
			t.Errorf("listed: %q", out)
		}
		for _, volume := range []string{"keeps", "fresh"} {
			if out := u.run(volume, "cat /dot/file; echo new > /dot/file; rm -r /dot/dir; touch /dot/more"); out != "base" {
				t.Errorf("%s: a container reads %q", volume, out)
			}
			u.server.unused(volume)
		}
		if out := u.run("keeps", "ls /dot; cat /dot/file"); out != "file\nmore\nnew" {
			t.Errorf("the second container sees %q", out)
		}
		if out := u.run("fresh", "ls /dot; cat /dot/file"); out != "dir\nfile\nbase" {
			t.Errorf("of a volatile volume the second container sees %q", out)
		}
		if out := u.r.strata("volume", "diff", "keeps"); out != "D /dir\nC /file\nA /more" {
			t.Errorf("diff: %q", out)
		}
		if out, err := u.try("run", "--rm", "--network=none", "-v", "keeps:/dot:ro", u.image, "/bin/sh", "-c", "touch /dot/x"); err == nil || !strings.Contains(out, "ead-only") {
			t.Errorf("a read-only volume is written: %v %s", err, out)
		}
		if diff := cmp.Diff(before, testutil.Tree(t, base)); diff != "" {
			t.Errorf("the base changed: %s", diff)
		}
		must(t, os.Rename(base, base+"-away"))
		if out, err := u.tryRun("keeps", "true"); err == nil || !strings.Contains(out, "does the base directory exist?") {
			t.Errorf("without its base: %v %s", err, out)
		}
		must(t, os.Rename(base+"-away", base))
		u.run("keeps", "true")
		u.must("volume", "rm", "keeps", "fresh")
		if left, err := filepath.Glob(u.server.state() + "/[a-z]*"); err != nil || len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// TestVolumesInUse is about containers that run: two at once, copies out of them, and
// servers that end and come back meanwhile.
func TestVolumesInUse(t *testing.T) {
	eachVolumeUser(t, func(t *testing.T, u *volumeUser) {
		u.create("vol", "base="+u.base(), "volatile=true")
		u.hold("box1", "vol")
		u.hold("box2", "vol")
		u.must("exec", "box1", "/bin/sh", "-c", "echo shared > /dot/shared")
		u.must("cp", "box1:/dot/shared", filepath.Join(u.r.dir, "copied"))
		shared := func(when, container string) {
			t.Helper()
			if out := u.must("exec", container, "/bin/cat", "/dot/shared"); out != "shared" || u.server.overlays("vol") != 1 {
				t.Errorf("%s a container reads %q, %d mounts", when, out, u.server.overlays("vol"))
			}
		}
		shared("after a copy", "box2")
		if out, err := u.try("volume", "rm", "vol"); err == nil {
			t.Errorf("a volume in use is removed: %s", out)
		}
		if out, err := u.r.try(binary, "--graph", u.r.graph(), "--run", u.r.runRoot(), "volume", "rm", "--force", "vol"); err == nil || !strings.Contains(out, "volume is in use") {
			t.Errorf("the command removes a volume in use: %s", out)
		}
		u.server.stop()
		shared("without the server", "box2")
		u.server.start("")
		shared("after a restart", "box2")
		u.letGo("box1")
		shared("after the other ended", "box2")
		u.server.kill()
		u.server.start("")
		shared("after a kill", "box2")
		u.hold("box3", "vol")
		shared("in a container that joined", "box3")
		u.letGo("box2", "box3")
		u.server.unused("vol")
		if out := u.run("vol", "ls /dot"); out != "dir\nfile" {
			t.Errorf("a volatile volume starts with %q", out)
		}
		if u.podman { // Docker tries a dead socket for 15 seconds at each step
			u.server.kill()
			begin := time.Now()
			if out, err := u.tryRun("vol", "true"); err == nil || time.Since(begin) > patience {
				t.Errorf("without the server, after %s: %s", time.Since(begin), out)
			}
			u.server.start("")
			u.run("vol", "true")
		}
		u.must("volume", "rm", "vol")
	})
}

// TestVolumeServerKilled kills the server at each step of a mount and of an unmount. It is
// started again at once, as systemd does. The container that was in the way may fail; the
// next one works, on the right content, and in the end nothing is left. An unmount that was
// not answered leaves a user in podman's own count. A mount that was recorded and not
// answered, and an unmount whose record was not erased yet, leave one in the server's.
// People take them away as this does.
func TestVolumeServerKilled(t *testing.T) {
	eachVolumeUser(t, func(t *testing.T, u *volumeUser) {
		base := u.base()
		for i, c := range []struct {
			at       string
			volatile bool
		}{
			{"ontop.folders", false}, {"ontop.cleared", true}, {"ontop.mount", false}, {"ontop.mounted", true}, {"ontop.record", false},
			{"atomicfile.rename", true}, {"ontop.recorded", false}, {"ontop.erase", true}, {"ontop.unmount", false}, {"ontop.unmounted", true},
		} {
			volume := fmt.Sprintf("vol%d", i)
			u.create(volume, "base="+base, fmt.Sprintf("volatile=%t", c.volatile))
			u.run(volume, "echo kept > /dot/kept")
			restarted := u.server.killedAt(c.at)
			done := make(chan string)
			go func() {
				out, _ := u.tryRun(volume, "cat /dot/file")
				done <- out
			}()
			restarted()
			out := <-done
			switch {
			case u.podman && strings.HasPrefix(out, "base"):
				u.must("volume", "unmount", volume)
			case c.at == "ontop.erase", c.at == "ontop.recorded":
				u.r.strata("volume", "reset", volume)
			}
			want := "base\nkept"
			if c.volatile {
				want = "base\nnone"
			}
			if out := u.run(volume, "cat /dot/file; echo; cat /dot/kept 2>/dev/null || echo none"); out != want {
				t.Errorf("killed at %s: the next container reads %q, want %q", c.at, out, want)
			}
			u.server.unused(volume)
			u.must("volume", "rm", volume)
		}
	})
}
