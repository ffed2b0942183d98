package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/testutil"
)

// scratch is for what is made once for the package; binary is the command under test.
var scratch, binary string

func TestMain(m *testing.M) {
	if os.Getenv(killPoint) != "" {
		os.Exit(mortalStrata())
	}
	if err := testutil.OwnMounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "strata-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	scratch, binary = dir, filepath.Join(dir, "strata")
	build := exec.Command("go", "build", "-o", binary, "github.com/stratastore/strata/cmd/strata")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		return 1
	}
	return m.Run()
}

// roots is one store on disk, used by several programs.
type roots struct {
	t      *testing.T
	dir    string
	driver string
	env    []string
}

// newRoots makes an empty store, and at the end of the test has strata look at
// it once more before everything goes.
func newRoots(t *testing.T, driver string) *roots {
	t.Helper()
	testutil.RequireRoot(t)
	if testing.Short() {
		t.Skip("the end-to-end tests take minutes: make test-root")
	}
	// podman refuses run roots of more than 50 characters, so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	r := &roots{t: t, dir: dir, driver: driver}
	conf := filepath.Join(r.dir, "containers.conf")
	r.write(conf, fmt.Sprintf(`[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.runtimes]
runc = [%q]
`, lookPath("runc")))
	storage := filepath.Join(r.dir, "storage.conf")
	r.write(storage, fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", driver, r.graph(), r.runRoot()))
	policy := filepath.Join(r.dir, "policy.json")
	r.write(policy, `{"default":[{"type":"insecureAcceptAnything"}]}`)
	r.env = append(os.Environ(), "CONTAINERS_CONF="+conf, "CONTAINERS_STORAGE_CONF="+storage, "STORAGE_DRIVER="+driver,
		"BUILDAH_ISOLATION=chroot", "TMPDIR="+r.dir)
	t.Cleanup(r.remove)
	return r
}

func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return "/usr/sbin/" + name
	}
	return path
}

func (r *roots) graph() string   { return filepath.Join(r.dir, "graph") }
func (r *roots) runRoot() string { return filepath.Join(r.dir, "run") }

func (r *roots) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *roots) remove() {
	if out, err := r.try(binary, "--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "wipe"); err != nil {
		r.t.Errorf("wipe: %v\n%s", err, out)
	}
	if out, err := r.try(binary, "--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "shutdown", "--force"); err != nil {
		r.t.Logf("shutdown: %v\n%s", err, out)
	}
	removeWhenUnused(r.t, r.dir)
}

// removeWhenUnused removes the directory that engines worked in. What these leave to
// processes of their own may end after the command.
func removeWhenUnused(t *testing.T, dir string) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if left = removeUnused(dir); left == "" {
			return
		}
	}
	t.Error(left)
}

// removeUnused says what keeps the directory; "" when it is gone.
func removeUnused(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(mounts), dir+"/") {
		return fmt.Sprintf("mounts are left below %s:\n%s", dir, mounts)
	}
	if err == nil {
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// try runs a program in the store's environment and returns what it printed, both streams.
func (r *roots) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must returns stdout of a program that has to succeed.
func (r *roots) must(name string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = r.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return strings.TrimRight(stdout.String(), "\n")
}

func (r *roots) strata(args ...string) string {
	r.t.Helper()
	return r.must(binary, append([]string{"--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver}, args...)...)
}

// classic runs Debian's containers-storage on the roots.
func (r *roots) classic(args ...string) string {
	r.t.Helper()
	return r.must("containers-storage", append([]string{"--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver}, args...)...)
}

func (r *roots) podman(args ...string) string {
	r.t.Helper()
	return r.must("podman", append([]string{"--root", r.graph(), "--runroot", r.runRoot(), "--tmpdir", filepath.Join(r.dir, "libpod-tmp"), "--storage-driver", r.driver}, args...)...)
}

func (r *roots) buildah(args ...string) string {
	r.t.Helper()
	return r.must("buildah", append([]string{"--root", r.graph(), "--runroot", r.runRoot(), "--storage-driver", r.driver}, args...)...)
}

func (r *roots) skopeo(args ...string) string {
	r.t.Helper()
	return r.must("skopeo", append([]string{"--insecure-policy", "--tmpdir", r.dir}, args...)...)
}

// inStore is a name in the store as skopeo writes it.
func (r *roots) inStore(name string) string {
	return fmt.Sprintf("containers-storage:[%s@%s+%s]%s", r.driver, r.graph(), r.runRoot(), name)
}

// record is what the tests read of the JSON of layers, images and containers.
type record struct {
	ID         string   `json:"id"`
	Names      []string `json:"names"`
	Parent     string   `json:"parent"`
	Layer      string   `json:"layer"`
	Image      string   `json:"image"`
	Digest     string   `json:"digest"`
	DiffDigest string   `json:"diff-digest"`
	DiffSize   int64    `json:"diff-size"`
}

// records runs a strata verb with --json and decodes the list.
func (r *roots) records(args ...string) []record {
	r.t.Helper()
	var list []record
	if err := json.Unmarshal([]byte(r.strata(append(args, "--json")...)), &list); err != nil {
		r.t.Fatal(err)
	}
	return list
}

// chain returns the layers of an image, top first.
func (r *roots) chain(image string) []record {
	r.t.Helper()
	var list []record
	for id := r.records("image", image)[0].Layer; id != ""; {
		l := r.records("layer", id)[0]
		list = append(list, l)
		id = l.Parent
	}
	return list
}

// checkDiffs re-reads every layer of an image and compares it with the record.
func (r *roots) checkDiffs(image string) {
	r.t.Helper()
	for _, l := range r.chain(image) {
		out := filepath.Join(r.dir, "diff.tar")
		r.strata("diff", "--uncompressed", "-f", out, l.ID)
		data, err := os.ReadFile(out)
		if err != nil {
			r.t.Fatal(err)
		}
		if got := testutil.Digest(data).String(); got != l.DiffDigest || int64(len(data)) != l.DiffSize {
			r.t.Errorf("layer %s: diff has %s, %d bytes; recorded %s, %d", l.ID, got, len(data), l.DiffDigest, l.DiffSize)
		}
	}
}
