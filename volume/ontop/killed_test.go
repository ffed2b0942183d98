package ontop

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

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/volume"
)

// The variables that turn the test binary into a process that dies at a named step.
const (
	killPoint = "STRATA_TEST_ONTOP_KILL"
	killRoot  = "STRATA_TEST_ONTOP_ROOT"
	killDo    = "STRATA_TEST_ONTOP_DO"
	killBase  = "STRATA_TEST_ONTOP_BASE"
)

func TestMain(m *testing.M) {
	if os.Getenv(killPoint) != "" {
		os.Exit(victim())
	}
	if err := testutil.OwnMounts(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim does one thing and is killed while it does it.
func victim() int {
	d, err := New(context.Background(), Options{Root: os.Getenv(killRoot)})
	if err != nil {
		return 1
	}
	defer faults.Enable(faults.Rule{Point: os.Getenv(killPoint), Do: func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }})()
	switch os.Getenv(killDo) {
	case "create":
		_, err = d.Create(context.Background(), "v", map[string]string{"base": os.Getenv(killBase)})
	case "mount":
		_, err = d.Mount(context.Background(), "v", "A")
	case "unmount":
		err = d.Unmount(context.Background(), "v", "A")
	case "discard":
		err = d.Discard(context.Background(), "v")
	}
	if err != nil {
		return 1
	}
	return 0 // not killed: the point was never passed
}

func kill(t *testing.T, root, base, do, point string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killPoint+"="+point, killRoot+"="+root, killDo+"="+do, killBase+"="+base)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s was not killed at %s: %v", do, point, err)
	}
}

// TestKilled kills a process at each step of Create, Mount and Unmount (D.8). Afterwards
// the same driver value, as another process beside it, and one that starts anew both go on.
func TestKilled(t *testing.T) {
	testutil.RequireRoot(t)
	for _, c := range []struct {
		do, point string
		users     int // on record afterwards
	}{
		{"mount", "ontop.folders", 0}, {"mount", "ontop.cleared", 0}, {"mount", "ontop.mount", 0},
		{"mount", "ontop.mounted", 0}, {"mount", "ontop.record", 0}, {"mount", "atomicfile.rename", 0}, {"mount", "ontop.recorded", 1},
		{"unmount", "ontop.erase", 1}, {"unmount", "ontop.unmount", 0}, {"unmount", "ontop.unmounted", 0},
	} {
		for _, volatile := range []string{"no", "yes"} {
			if c.point == "ontop.cleared" && volatile == "no" {
				continue
			}
			for _, restart := range []bool{false, true} {
				name := c.do + " " + c.point + " volatile " + volatile
				if restart {
					name += " restarted"
				}
				t.Run(name, func(t *testing.T) { killedOnce(t, c.do, c.point, c.users, volatile == "yes", restart) })
			}
		}
	}
}

func killedOnce(t *testing.T, do, point string, users int, volatile, restart bool) {
	d, base := setup(t)
	make1(t, d, base, "volatile", map[bool]string{true: "yes", false: "no"}[volatile])
	path := mount(t, d, "first")
	write(t, path+"/file", "changed")
	unmount(t, d, "first")
	if do == "unmount" {
		write(t, mount(t, d, "A")+"/file", "changed")
	}
	kill(t, d.opts.Root, base, do, point)
	if restart {
		d = open(t, d.opts.Root)
	}
	left, err := d.place("v").records()
	must(t, err)
	if len(left) != users {
		t.Errorf("records %v, want %d", left, users)
	}
	if len(left) > 0 && !d.mounted() {
		t.Error("a recorded user without a mount")
	}
	path = mount(t, d, "B")
	want := "changed"
	if volatile && (len(left) == 0 || do == "mount") {
		want = "base"
	}
	if got := read(t, path+"/file"); got != want {
		t.Errorf("file says %s, want %s", got, want)
	}
	if n := overlaysAt(t, path); n != 1 {
		t.Errorf("%d overlays at the mount point", n)
	}
	for _, id := range append(left, "B") {
		unmount(t, d, id)
	}
	if d.mounted() {
		t.Error("still mounted")
	}
	// What the killed process was deleting is deleted by the next start.
	must(t, d.Remove(t.Context(), "v"), d.Close(), open(t, d.opts.Root).Close())
	if left, _ := os.ReadDir(d.opts.Root); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestKilledWhileCreating(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	kill(t, d.opts.Root, base, "create", "ontop.metadata")
	if _, err := d.Mount(t.Context(), "v", "A"); !errors.Is(err, volume.ErrNoSuchVolume) {
		t.Error(err)
	}
	if list, err := d.List(t.Context()); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	make1(t, d, base)
	left, _ := filepath.Glob(d.opts.Root + "/" + newPrefix + "*")
	if len(left) != 1 {
		t.Fatalf("left: %v", left)
	}
	must(t, os.Chtimes(left[0], longAgo, longAgo))
	must(t, open(t, d.opts.Root).Close())
	if _, err := os.Stat(left[0]); !os.IsNotExist(err) {
		t.Error("what the killed process left is not swept")
	}
}

// TestFailing makes each step fail instead: an error comes back, and the next try works.
func TestFailing(t *testing.T) {
	testutil.RequireRoot(t)
	broken := errors.New("broken")
	for _, point := range []string{"ontop.folders", "ontop.cleared", "ontop.mount", "ontop.mounted", "ontop.record", "atomicfile.rename", "ontop.erase", "ontop.unmount", "ontop.unmounted"} {
		t.Run(point, func(t *testing.T) {
			d, base := setup(t)
			make1(t, d, base, "volatile", "yes")
			disable := faults.Enable(faults.Rule{Point: point, Under: d.opts.Root, Times: 1, Err: broken})
			defer disable()
			_, err := d.Mount(t.Context(), "v", "A")
			if err == nil {
				err = d.Unmount(t.Context(), "v", "A")
			}
			if !errors.Is(err, broken) || strings.Contains(err.Error(), "%!") {
				t.Fatal(err)
			}
			if got := read(t, mount(t, d, "B")+"/file"); got != "base" {
				t.Error(got)
			}
			unmount(t, d, "A")
			unmount(t, d, "B")
			if d.mounted() {
				t.Error("still mounted")
			}
		})
	}
}

// TestKilledWhileDiscarding: the volume is its base again, and can be used.
func TestKilledWhileDiscarding(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	write(t, mount(t, d, "A")+"/file", "changed")
	unmount(t, d, "A")
	kill(t, d.opts.Root, base, "discard", "ontop.cleared")
	d = open(t, d.opts.Root)
	if got := read(t, mount(t, d, "A")+"/file"); got != "base" {
		t.Errorf("file says %s", got)
	}
	unmount(t, d, "A")
	must(t, d.Close())
	if left, _ := filepath.Glob(d.place("v").dir + "/.*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestKilledWhileRecording: what a killed process was writing goes, though others have the volume.
func TestKilledWhileRecording(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	mount(t, d, "B")
	kill(t, d.opts.Root, base, "mount", "atomicfile.rename")
	d = open(t, d.opts.Root)
	if left, _ := filepath.Glob(d.place("v").path(recordsDir) + "/.*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	unmount(t, d, "B")
}

// TestMountThatIsNotRecorded is not mounted either.
func TestMountThatIsNotRecorded(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	defer faults.Enable(faults.Rule{Point: "ontop.record", Under: d.opts.Root, Times: 1, Err: errors.New("broken")})()
	if _, err := d.Mount(t.Context(), "v", "A"); err == nil || d.mounted() {
		t.Errorf("mounted %t, error %v", d.mounted(), err)
	}
}

// TestSettle: after a mount that nobody was told of, only the others' users count.
func TestSettle(t *testing.T) {
	testutil.RequireRoot(t)
	d, base := setup(t)
	make1(t, d, base)
	for _, id := range []string{"A", "B", "B"} {
		mount(t, d, id)
	}
	must(t, d.Settle(t.Context(), "v", "B", 1), d.Settle(t.Context(), "v", "A", 0))
	if r, _, err := d.place("v").record("B"); r.Count != 1 || err != nil || !d.mounted() {
		t.Errorf("count %d, mounted %t, %v", r.Count, d.mounted(), err)
	}
	must(t, d.Settle(t.Context(), "v", "B", 0), d.Settle(t.Context(), "v", "B", 0))
	if d.mounted() {
		t.Error("mounted for nobody")
	}
}
