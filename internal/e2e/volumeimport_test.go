package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// TestVolumesTakenOverFromDocker takes the volumes of a real engine over: not while it
// runs, and afterwards with everything that is in them.
func TestVolumesTakenOverFromDocker(t *testing.T) {
	r := newRoots(t, "overlay")
	e := startDocker(t, "overlay2")
	e.docker("import", busyboxTar(t), "bb:1")
	driver := fmt.Sprintf("strata-e2e-import-%d", os.Getpid())
	s := serveVolumes(t, newRoots(t, "overlay"), "/run/docker/plugins/"+driver+".sock")
	e.docker("volume", "create", "--label", "use=data", "data")
	e.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "memory")
	must(t, os.Mkdir(filepath.Join(s.r.dir, "base"), 0o755))
	e.docker("volume", "create", "-d", driver, "-o", "base="+filepath.Join(s.r.dir, "base"), "elsewhere")
	e.docker("run", "--rm", "--network=none", "-v", "data:/d", "bb:1", "/bin/sh", "-c",
		"mkdir /d/dir && echo one > /d/dir/file && busybox ln /d/dir/file /d/hard && busybox ln -s dir/file /d/soft && busybox chown 12:34 /d/dir && busybox chmod 4750 /d/dir/file && busybox mkfifo /d/pipe")
	source := filepath.Join(e.root(), "volumes", "data", "_data")
	must(t, unix.Setxattr(filepath.Join(source, "dir", "file"), "user.note", []byte("kept\x00\xff"), 0))
	sparse, err := os.Create(filepath.Join(source, "sparse"))
	must(t, err)
	must(t, sparse.Truncate(64<<20))
	must(t, sparse.Close())
	must(t, unix.Mknod(filepath.Join(source, "socket"), unix.S_IFSOCK|0o600, 0))

	args := []string{"--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "volume", "import-docker", "--root", e.root()}
	if out, err := r.try(binary, args...); err == nil || !strings.Contains(out, "in use by a running engine") {
		t.Fatalf("beside a running engine: %v %s", err, out)
	}
	e.stop()
	out, err := r.try(binary, args...)
	if err == nil || !strings.Contains(out, "volumes of plugins can not be copied") || !strings.Contains(out, "1 socket left out") {
		t.Fatalf("%v: %s", err, out)
	}
	var list []struct {
		Name, Driver, Mountpoint string
		Labels, Options          map[string]string
	}
	must(t, json.Unmarshal([]byte(r.strata("volume", "ls", "--json", "--filter", "driver=local")), &list))
	if len(list) != 2 || list[0].Name != "data" || list[0].Labels["use"] != "data" || list[1].Options["o"] != "size=1m" {
		t.Fatalf("taken over: %+v", list)
	}
	must(t, os.Remove(filepath.Join(source, "socket")))
	if diff := cmp.Diff(testutil.Tree(t, source, testutil.IgnoreRoot), testutil.Tree(t, list[0].Mountpoint, testutil.IgnoreRoot)); diff != "" {
		t.Errorf("-docker's +strata's: %s", diff)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(list[0].Mountpoint, "sparse"), &st))
	if st.Blocks > 1024 {
		t.Errorf("the sparse file has %d blocks", st.Blocks)
	}
	path := r.strata("volume", "mount", "memory")
	var fs unix.Statfs_t
	must(t, unix.Statfs(path, &fs))
	r.strata("volume", "unmount", "memory")
	if fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("the tmpfs volume is mounted as %x", fs.Type)
	}

	// The volume of the plugin, which is no other than strata's, serves here as it did there.
	if out := r.strata("volume", "ls", "--filter", "driver="+driver); out != "elsewhere\t"+driver {
		t.Errorf("volumes of the plugin: %q", out)
	}
	if path := r.strata("volume", "mount", "elsewhere"); path != s.mountpoint("elsewhere") || s.overlays("elsewhere") != 1 {
		t.Errorf("mounted at %s", path)
	}
	r.strata("volume", "unmount", "elsewhere")
	s.unused("elsewhere")
}

// TestVolumeServerFromSystemd passes a socket the way systemd does, and hears that the
// server is ready.
func TestVolumeServerFromSystemd(t *testing.T) {
	r := newRoots(t, "overlay")
	notified := listenNotify(t, filepath.Join(r.dir, "notify"))
	u := activated(t, r, filepath.Join(r.dir, "a.sock"), filepath.Join(r.dir, "notify"))
	if got := notified(); got != "READY=1" {
		t.Errorf("told systemd %q", got)
	}
	if got := u.post("/Plugin.Activate"); !strings.Contains(got, "VolumeDriver") {
		t.Errorf("answer: %q", got)
	}
	if got := u.post("/VolumeDriver.Capabilities"); !strings.Contains(got, `"Scope":"local"`) {
		t.Errorf("answer: %q", got)
	}
	u.end()
	if got := notified(); got != "STOPPING=1" {
		t.Errorf("told systemd %q", got)
	}
}
