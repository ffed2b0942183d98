//go:build linux && amd64

package faulttest_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faulttest"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// id is an ID in the engines' form for a name in a test.
func id(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// bench is a place where a store is made again and again from a template.
type bench struct {
	t      testing.TB
	dir    string // graph and run are below
	driver string
	common *common
}

// common is what all benches share.
type common struct {
	dir    string // of input files, templates and benches
	binary string

	mu        sync.Mutex
	templates map[string]bool // by driver: made
	reflinks  string          // directory of a file system with them, if it is mounted
}

// place makes a directory in memory if there is any: hundreds of runs write there.
func place(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "strata-faults-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unmountAll(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// newCommon builds the command and the input files.
func newCommon(t testing.TB) *common {
	t.Helper()
	testutil.RequireRoot(t)
	c := &common{dir: place(t), templates: map[string]bool{}}
	if c.binary = os.Getenv("STRATA_FAULTS_BINARY"); c.binary == "" {
		c.binary = filepath.Join(c.dir, "strata")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, "../../cmd/strata").CombinedOutput(); err != nil {
			t.Fatalf("build the command: %v: %s", err, out)
		}
	}
	layers := map[string][]byte{
		"base":  testutil.Tar(t, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/base", Body: "base"}, testutil.Entry{Name: "gone", Body: "x"}),
		"more":  testutil.Tar(t, testutil.Entry{Name: "etc/more", Body: "more"}, testutil.Entry{Name: ".wh.gone"}),
		"other": testutil.Tar(t, testutil.Entry{Name: "opt/"}, testutil.Entry{Name: "opt/other", Body: "other", Xattrs: map[string]string{"user.k": "v"}}, testutil.Entry{Name: "opt/link", Link: "other"}),
		"last":  testutil.Tar(t, testutil.Entry{Name: "var/"}, testutil.Entry{Name: "var/first", Body: "first"}, testutil.Entry{Name: "var/hard", Type: tar.TypeLink, Link: "var/first"}),
	}
	for name, data := range layers {
		c.write(t, name+".tar", data)
	}
	c.write(t, "app.tar", testutil.DockerArchive(t, "localhost/app:1", layers["base"], layers["more"]))
	c.write(t, "next.tar", testutil.DockerArchive(t, "localhost/next:1", layers["base"], layers["other"], layers["last"]))
	c.write(t, "item", []byte("new value"))
	c.write(t, "linked.tar", testutil.Tar(t, testutil.Entry{Name: "opt/"}, testutil.Entry{Name: "opt/second", Type: tar.TypeLink, Link: "opt/other", Mode: 0o600}))
	c.write(t, "large.tar", testutil.Tar(t, testutil.Entry{Name: "large", Body: strings.Repeat("0123456789abcdef", 1<<14)}))
	c.write(t, "storage.conf", []byte("[storage]\n[storage.options.pull_options]\nenable_partial_images = \"true\"\n"))
	c.tree(t)
	return c
}

// tree is a directory to copy, with something of each kind.
func (c *common) tree(t testing.TB) {
	t.Helper()
	dir := c.file("tree")
	err := os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o750)
	c.write(t, "tree/more", []byte("another"))
	c.write(t, "tree/sub/deep/file", []byte("deep"))
	err = errors.Join(err, os.Symlink("more", filepath.Join(dir, "link")), os.Link(filepath.Join(dir, "more"), filepath.Join(dir, "sub/hard")),
		unix.Mkfifo(filepath.Join(dir, "sub/fifo"), 0o600), os.Lchown(filepath.Join(dir, "link"), 1, 2), os.Chown(filepath.Join(dir, "sub"), 3, 4))
	if err != nil {
		t.Fatal(err)
	}
}

func (c *common) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c *common) file(name string) string { return filepath.Join(c.dir, name) }

// bench makes a bench with a store of the driver, which the caller restores.
func (c *common) bench(t testing.TB, name, driver string) *bench {
	t.Helper()
	return c.benchIn(t, c.dir, name, driver)
}

// benchFor makes the bench that a verb needs.
func (c *common) benchFor(t testing.TB, v verb, driver string) *bench {
	t.Helper()
	if v.reflinks {
		return c.benchIn(t, c.disk(t), v.name, driver)
	}
	return c.bench(t, v.name, driver)
}

// disk is a directory where files can share data: an xfs, made when it is first asked for.
func (c *common) disk(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reflinks != "" {
		return c.reflinks
	}
	testutil.RequireProgram(t, "mkfs.xfs")
	image, dir := c.file("disk"), c.file("reflinks")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 400<<20), os.Mkdir(dir, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", words[0], err, out)
		}
	}
	c.reflinks = dir
	return dir
}

func (c *common) benchIn(t testing.TB, parent, name, driver string) *bench {
	t.Helper()
	b := &bench{t: t, dir: filepath.Join(parent, driver+"-"+name), driver: driver, common: c}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.clear)
	return b
}

func (b *bench) graph() string   { return filepath.Join(b.dir, "graph") }
func (b *bench) runRoot() string { return filepath.Join(b.dir, "run") }

// out is where verbs write that write files.
func (b *bench) out() string { return filepath.Join(b.dir, "out") }

// args is a command line; "@name" is the input file of that name, "%name" the output file.
func (b *bench) args(words ...string) []string {
	out := []string{b.common.binary, "--graph", b.graph(), "--run", b.runRoot(), "--storage-driver", b.driver}
	for _, w := range words {
		if name, ok := strings.CutPrefix(w, "@"); ok {
			w = b.common.file(name)
		}
		if name, ok := strings.CutPrefix(w, "%"); ok {
			w = filepath.Join(b.out(), name)
		}
		out = append(out, w)
	}
	return out
}

func (b *bench) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.common.dir, "TMPDIR=" + b.common.dir, "CONTAINERS_STORAGE_CONF=" + b.common.file("storage.conf")}
}

// strata runs the command undisturbed and demands success.
func (b *bench) strata(words ...string) string {
	b.t.Helper()
	out, err := b.try(words...)
	if err != nil {
		b.t.Fatalf("strata %q: %v", words, err)
	}
	return out
}

// try runs the command undisturbed.
func (b *bench) try(words ...string) (string, error) {
	args := b.args(words...)
	var errs bytes.Buffer
	cmd := exec.CommandContext(b.t.Context(), args[0], args[1:]...)
	cmd.Env, cmd.Stderr = b.env(), &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	return strings.TrimSpace(string(out)), err
}

// traced runs the command under a plan.
func (b *bench) traced(plan faulttest.Plan, words ...string) *faulttest.Report {
	b.t.Helper()
	r, err := faulttest.Run(b.t.Context(), faulttest.Command{Args: b.args(words...), Env: b.env(), Watch: b.dir}, plan)
	if err != nil {
		b.t.Fatalf("trace %q: %v", words, err)
	}
	return r
}

// fill makes the store that every verb begins with.
func (b *bench) fill() {
	b.t.Helper()
	b.strata("load", "@app.tar")
	b.strata("import", "--created", "0", "--name", "localhost/victim:1", "@other.tar")
	b.strata("create-container", "--name", "keep", "--id", id("keep"), "localhost/app:1")
	b.strata("create-container", "--name", "work", "--id", id("work"), "localhost/app:1")
	b.strata("import-layer", "--name", "lone", "--id", id("lone"), "--file", b.common.file("other.tar"))
	b.strata("create-layer", "--name", "empty", "--id", id("empty"), "lone")
	b.strata("create-image", "--name", "bare", "--id", id("bare"), "lone")
	for _, kind := range []string{"layer lone", "image bare", "container keep"} {
		what, name, _ := strings.Cut(kind, " ")
		b.strata("set-"+what+"-data", "--file", b.common.file("base.tar"), name, "old")
	}
	merged := b.strata("mount", "work")
	if err := os.WriteFile(filepath.Join(merged, "made"), []byte("made"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(merged, "etc/base")); err != nil {
		b.t.Fatal(err)
	}
	b.strata("unmount", "work")
	b.strata("copy", "work:/made", filepath.Join(b.t.TempDir(), "made"))
}

// copyStore copies both roots from one directory to another, attributes and all.
func copyStore(t testing.TB, from, to string) {
	t.Helper()
	args := []string{"-a", filepath.Join(from, "graph"), filepath.Join(from, "run"), to}
	if out, err := exec.CommandContext(t.Context(), "cp", args...).CombinedOutput(); err != nil {
		t.Fatalf("copy store: %v: %s", err, out)
	}
}

// clear removes the store.
func (b *bench) clear() {
	b.t.Helper()
	unmountAll(b.t, b.dir)
	for _, root := range []string{b.graph(), b.runRoot(), b.out()} {
		if err := os.RemoveAll(root); err != nil {
			b.t.Fatal(err)
		}
	}
}

// unmountAll takes away every mount below dir, the last one first.
func unmountAll(t testing.TB, dir string) {
	t.Helper()
	mounts, err := mountapi.Table(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Error(err)
	}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil {
			t.Logf("unmount %s: %v", mounts[i].Mountpoint, err)
		}
	}
}

// restore makes the store anew, as the template is.
func (b *bench) restore() {
	b.t.Helper()
	b.clear()
	copyStore(b.t, b.common.template(b.t, b.driver), b.dir)
	if err := os.Mkdir(b.out(), 0o700); err != nil {
		b.t.Fatal(err)
	}
}

// template returns the directory of the driver's template, which is made once.
func (c *common) template(t testing.TB, driver string) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	dir := filepath.Join(c.dir, "template-"+driver)
	if c.templates[driver] {
		return dir
	}
	b := c.bench(t, "making", driver)
	b.fill()
	unmountAll(t, b.dir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	copyStore(t, b.dir, dir)
	c.templates[driver] = true
	return dir
}
