package hostiletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/testutil"
)

// Exit codes of the command.
const (
	exitInvalid     = 2
	exitCorrupt     = 6
	exitUnsupported = 7
	exitLimit       = 10
	exitNoSpace     = 11
)

// treasure is what lies outside of the store.
const treasure = "treasure"

// target is a store with neighbours that nothing may touch.
type target struct {
	t       *testing.T
	driver  string
	dir     string // of store and neighbours
	env     []string
	outside []string // the neighbours as they were
}

func newTarget(t *testing.T, driver string, caps ...string) *target {
	t.Helper()
	testutil.RequireRoot(t)
	s := &target{t: t, driver: driver, dir: workDir(t)}
	for path, text := range map[string]string{
		"outside/secret": treasure, "outside/etc/passwd": "root:x:0:0::/:/bin/sh\n",
		"storage.conf": fmt.Sprintf("[storage]\ndriver = %q\n[storage.options.strata]\n%s\n", driver, strings.Join(caps, "\n")),
	} {
		path = filepath.Join(s.dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(os.Environ(), "CONTAINERS_STORAGE_CONF="+filepath.Join(s.dir, "storage.conf"), "STORAGE_DRIVER="+driver, "TMPDIR="+s.dir)
	s.outside = testutil.Tree(t, filepath.Join(s.dir, "outside"))
	t.Cleanup(s.finish)
	return s
}

// workDir is in memory where there is such a place: some cases make many files.
func workDir(t *testing.T) string {
	t.Helper()
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "strata-hostile-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (s *target) graph() string { return filepath.Join(s.dir, "graph") }
func (s *target) run() string   { return filepath.Join(s.dir, "run") }

// finish looks at the neighbours and takes the store down.
func (s *target) finish() {
	if diff := cmp.Diff(s.outside, testutil.Tree(s.t, filepath.Join(s.dir, "outside"))); diff != "" {
		s.t.Errorf("outside of the store (-before +after):\n%s", diff)
	}
	if r := s.strata(nil, "shutdown", "--force"); r.code != 0 {
		// Of a store that can not be opened, the driver's home may stay mounted.
		for unix.Unmount(filepath.Join(s.graph(), s.driver), unix.MNT_DETACH) == nil {
		}
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
	rss            int64 // bytes, at most
	took           time.Duration
}

// deadline is when a command counts as hung.
const deadline = 5 * time.Minute

// strata runs the command.
func (s *target) strata(stdin io.Reader, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	all := append([]string{"--graph", s.graph(), "--run", s.run()}, args...)
	cmd := exec.CommandContext(ctx, binary, all...)
	cmd.Env, cmd.Stdin = s.env, stdin
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	memory := make(chan int64)
	ended := make(chan struct{})
	go func() { memory <- highWater(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	close(ended)
	r := result{rss: <-memory, stdout: strings.TrimSpace(stdout.String()), stderr: strings.TrimSpace(stderr.String()), took: time.Since(start)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		s.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		s.t.Fatalf("%s hangs", strings.Join(args, " "))
	}
	r.code = cmd.ProcessState.ExitCode()
	return r
}

// highWater watches the most memory that a process has, in bytes. What the system
// accounts to a process that ended includes that of the one that started it.
func highWater(pid int, ended chan struct{}) (most int64) {
	for {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, text, found := strings.Cut(string(data), "VmHWM:"); err == nil && found {
			var kib int64
			if _, err := fmt.Sscan(text, &kib); err == nil {
				most = max(most, kib<<10)
			}
		}
		select {
		case <-ended:
			return most
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// must is strata for commands that have to succeed.
func (s *target) must(args ...string) string {
	s.t.Helper()
	r := s.strata(nil, args...)
	if r.code != 0 {
		s.t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// refused demands an exit code and one line of error that names a cause.
func (r result) refused(t *testing.T, code int, cause string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stderr, cause) {
		t.Errorf("exit %d, want %d and %q: %s", r.code, code, cause, r.stderr)
	}
	if strings.Contains(r.stderr, "panic") || strings.Contains(r.stderr, "goroutine ") || strings.Count(r.stderr, "error: ") > 1 {
		t.Errorf("not one clear error: %s", r.stderr)
	}
}

// clean demands that a store is sound and has no more than these objects, and no
// garbage either.
func (s *target) clean(layers, images int) {
	s.t.Helper()
	ctx := context.Background()
	store, err := strata.Open(ctx, strata.Options{GraphRoot: s.graph(), RunRoot: s.run(), Driver: s.driver})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close(ctx)
	snap, err := store.Snapshot(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(snap.Layers) != layers || len(snap.Images) != images {
		s.t.Errorf("%d layers and %d images are there, want %d and %d", len(snap.Layers), len(snap.Images), layers, images)
	}
	report, err := store.Check(ctx, strata.CheckOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range report.Findings {
		s.t.Error(f)
	}
}

// tree is the directory that a layer's files are in.
func (s *target) tree(id string) string {
	if s.driver == "vfs" {
		return filepath.Join(s.graph(), "vfs", "dir", id)
	}
	return filepath.Join(s.graph(), "overlay", id, "diff")
}

// each runs a test for both drivers.
func each(t *testing.T, f func(t *testing.T, driver string)) {
	t.Helper()
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) { f(t, driver) })
	}
}
