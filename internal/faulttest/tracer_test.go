//go:build linux && amd64

package faulttest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faulttest"
)

// runHelper traces one of the helpers in a directory with a file called input.
func runHelper(t *testing.T, name, dir string, plan faulttest.Plan) *faulttest.Report {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "input"), []byte("in"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := faulttest.Run(t.Context(), faulttest.Command{
		Args: []string{self, dir}, Env: append(os.Environ(), helperEnv+"="+name), Watch: dir,
	}, plan)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// relative takes the directory out of descriptions.
func relative(calls []string, dir string) []string {
	var out []string
	for _, c := range calls {
		out = append(out, strings.ReplaceAll(c, dir+"/", ""))
	}
	return out
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

var allSteps = []string{"openat(a)", "write(a)", "fsync(a)", "renameat(a, b)", "unlinkat(b)"}

func TestCounts(t *testing.T) {
	dir := t.TempDir()
	r := runHelper(t, "steps", dir, faulttest.Plan{})
	if diff := cmp.Diff(allSteps, relative(r.Calls, dir)); diff != "" || r.Exited() != 0 || r.Stdout != "renamed\n" {
		t.Fatalf("exit %d, output %q%s, calls %s", r.Exited(), r.Stdout, r.Stderr, diff)
	}
	r = runHelper(t, "steps", dir, faulttest.Plan{Class: faulttest.Opening})
	if diff := cmp.Diff([]string{"openat(input)", "openat(a)"}, relative(r.Calls, dir)); diff != "" {
		t.Fatal(diff)
	}
}

func TestKills(t *testing.T) {
	left := [][]string{{"input"}, {"a", "input"}, {"a", "input"}, {"a", "input"}, {"b", "input"}, {"input"}}
	for n := 1; n <= len(allSteps); n++ {
		for action, want := range map[faulttest.Action][]string{faulttest.Kill: left[n-1], faulttest.KillAfter: left[n]} {
			dir := t.TempDir()
			r := runHelper(t, "steps", dir, faulttest.Plan{Action: action, Call: n})
			if !r.Status.Signaled() || r.Status.Signal() != unix.SIGKILL || strings.ReplaceAll(r.Hit, dir+"/", "") != allSteps[n-1] {
				t.Errorf("action %d at %d: status %x, hit %s", action, n, r.Status, r.Hit)
			}
			if diff := cmp.Diff(want, names(t, dir)); diff != "" {
				t.Errorf("action %d at %s left %s", action, r.Hit, diff)
			}
		}
	}
}

func TestFails(t *testing.T) {
	for n := 1; n <= len(allSteps); n++ {
		dir := t.TempDir()
		r := runHelper(t, "steps", dir, faulttest.Plan{Action: faulttest.Fail, Call: n, Errno: unix.ENOSPC})
		if r.Exited() != 1 || !strings.Contains(r.Stderr, "no space left on device") {
			t.Errorf("failed %s: exit %d, %s", r.Hit, r.Exited(), r.Stderr)
		}
		if n == 1 && !cmp.Equal(names(t, dir), []string{"input"}) {
			t.Errorf("the call ran although it failed: %v", names(t, dir))
		}
	}
}

func TestThreadsShareOneCounter(t *testing.T) {
	dir := t.TempDir()
	r := runHelper(t, "threads", dir, faulttest.Plan{Action: faulttest.Kill, Call: 8})
	// Calls of other threads that were let go may or may not have run.
	if got := len(names(t, dir)) - 1; !r.Status.Signaled() || len(r.Calls) != 8 || got > 7 {
		t.Fatalf("status %x, %d calls, %d directories", r.Status, len(r.Calls), got)
	}
	r = runHelper(t, "threads", t.TempDir(), faulttest.Plan{})
	if r.Exited() != 0 || len(r.Calls) != 20 {
		t.Fatalf("exit %d, calls %q", r.Exited(), r.Calls)
	}
}

func TestChildrenAreFollowed(t *testing.T) {
	dir := t.TempDir()
	r := runHelper(t, "child", dir, faulttest.Plan{Action: faulttest.Kill, Call: 2})
	if diff := cmp.Diff([]string{"input", "own"}, names(t, dir)); diff != "" || !r.Status.Signaled() {
		t.Fatalf("status %x, calls %v, left %s", r.Status, r.Calls, diff)
	}
}

func TestHang(t *testing.T) {
	r := runHelper(t, "sleep", t.TempDir(), faulttest.Plan{Timeout: 300 * time.Millisecond})
	if !r.Hung || !r.Status.Signaled() {
		t.Fatalf("hung %t, status %x", r.Hung, r.Status)
	}
}
