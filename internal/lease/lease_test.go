package lease_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/lease"
)

const (
	childDir = "STRATA_LEASE_TEST_DIR"
	ready    = "READY"
)

func open(t testing.TB, dir string) *lease.Holder {
	t.Helper()
	h, err := lease.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func add(t testing.TB, h *lease.Holder, ids ...string) {
	t.Helper()
	if err := h.Add(context.Background(), ids...); err != nil {
		t.Fatal(err)
	}
}

// leased returns the IDs that live holders have, sorted.
func leased(t testing.TB, dir string) []string {
	t.Helper()
	all, err := lease.Held(dir)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func want(t testing.TB, dir string, ids ...string) {
	t.Helper()
	if got := leased(t, dir); strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("leased %v, want %v", got, ids)
	}
}

func TestLeasesAreCounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "strata", "leases")
	want(t, dir) // no directory yet
	h := open(t, dir)
	add(t, h, "a", "b", "a")
	want(t, dir, "a", "b")
	for i, count := range []int{1, 0} {
		if err := h.Drop("a"); err != nil {
			t.Fatal(err)
		}
		if n := h.Count("a"); n != count {
			t.Errorf("after drop %d: count %d, want %d", i+1, n, count)
		}
	}
	want(t, dir, "b")
	if err := h.Drop("a"); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("one drop too many: %v", err)
	}
	if err := h.Drop("never", "b"); !errors.Is(err, lease.ErrNotHeld) {
		t.Errorf("drop of what was never leased: %v", err)
	}
	want(t, dir) // b was given back although "never" was not held
	add(t, h, "a")
	want(t, dir, "a")
}

func TestTheFileDoesNotGrowWithUse(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, h.File()))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	add(t, h, "a", "b")
	before := size()
	for range 100 {
		add(t, h, "b")
		if err := h.Drop("b", "a"); err != nil {
			t.Fatal(err)
		}
		add(t, h, "a")
	}
	if after := size(); after != before {
		t.Errorf("file grew from %d to %d bytes", before, after)
	}
}

func TestDropUnlessLast(t *testing.T) {
	h := open(t, t.TempDir())
	add(t, h, "a", "a")
	for i, want := range []bool{true, false, false} {
		if got := h.DropUnlessLast("a"); got != want {
			t.Errorf("call %d: %t", i+1, got)
		}
	}
	if h.DropUnlessLast("never") {
		t.Error("dropped what was never leased")
	}
}

func TestHoldersAreToldApart(t *testing.T) {
	dir := t.TempDir()
	first, second := open(t, dir), open(t, dir)
	add(t, first, "a")
	add(t, second, "a", "b")
	all, err := lease.Held(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all["a"]) != 2 || len(all["b"]) != 1 || all["b"][0] != (lease.Owner{PID: os.Getpid(), File: second.File()}) {
		t.Errorf("owners %v", all)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	want(t, dir, "a")
	if err := second.Add(context.Background(), "c"); err == nil {
		t.Error("a closed holder takes leases")
	}
	if err := second.Drop("a"); err != nil {
		t.Errorf("drop after close: %v", err)
	}
}

func TestBadIDsAndFailures(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	for _, id := range []string{"", "a\nb", "a\x00"} {
		if err := h.Add(context.Background(), "good", id); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("ID %q: %v", id, err)
		}
	}
	want(t, dir) // the good one was given back each time
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Add(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("disk full")
	disable := faults.Enable(faults.Rule{Point: "lease.add", Under: dir, Skip: 1, Err: full})
	err := h.Add(context.Background(), "a", "b")
	disable()
	if !errors.Is(err, full) {
		t.Errorf("fault: %v", err)
	}
	want(t, dir)
}

func TestOddFilesAreNoLeases(t *testing.T) {
	dir := t.TempDir()
	name := func(digit string) string { return strings.Repeat(digit, 64) }
	for name, text := range map[string]string{name("d"): "pid 1\n+a\n", "." + name("e"): "pid 1\n", name("9"): "\xff\x00", "foreign": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, dir)
	h := open(t, dir) // sweeps
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "folder" && e.Name() != "foreign" && e.Name() != h.File() {
			t.Errorf("%s is still there", e.Name())
		}
	}
}

// A line that is being written is no lease yet; the one before it is.
func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	add(t, h, "whole")
	f, err := os.OpenFile(filepath.Join(dir, h.File()), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("+tor"); err != nil {
		t.Fatal(err)
	}
	want(t, dir, "whole")
}

func TestSweepsNeverTakeALiveHolder(t *testing.T) {
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for round := range 50 {
				h, err := lease.Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				id := fmt.Sprintf("%d-%d", i, round)
				if err := errors.Join(h.Add(context.Background(), id), lease.Sweep(dir)); err != nil {
					t.Error(err)
				}
				if all, err := lease.Held(dir); err != nil || len(all[id]) != 1 {
					t.Errorf("own lease %s: %v, %v", id, all[id], err)
				}
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	want(t, dir)
}

func TestKilledHolderHoldsNothing(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestChildHolds$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != ready; {
	}
	all, err := lease.Held(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all["childs"]) != 1 || all["childs"][0].PID != cmd.Process.Pid {
		t.Errorf("while it lives: %v, want PID %d", all, cmd.Process.Pid)
	}
	if err := lease.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	want(t, dir, "childs")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	want(t, dir)
	if err := lease.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

// TestChildHolds holds a lease until its standard input ends, or it is killed.
func TestChildHolds(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("only runs in other processes")
	}
	h := open(t, dir)
	add(t, h, "childs")
	fmt.Println(ready)
	_, _ = io.Copy(io.Discard, os.Stdin)
}
