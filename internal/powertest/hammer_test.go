package powertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/testutil"
)

// hammered is one store that several programs work on at once.
type hammered struct {
	*bench
	driver, dir string
	env         []string
	from        materials

	mu      sync.Mutex
	did     map[string]int  // commands that succeeded, by program and verb
	refused map[string]int  // and that did not
	strange map[string]bool // failures that nobody should see, by text
	filled  map[string]bool // layers that one worker was given to apply a diff to
}

// busy are the worker processes at a time.
const busy = 4

func hammerTime() time.Duration {
	switch {
	case full():
		return time.Minute
	case testing.Short():
		return 3 * time.Second
	}
	return 10 * time.Second
}

// TestHammer: whatever several engines do to one store at once, it stays whole.
func TestHammer(t *testing.T) {
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			h := newHammered(t, driver)
			ends := time.Now().Add(hammerTime())
			var wait sync.WaitGroup
			for i := range busy {
				wait.Go(func() { h.work(uint64(i), ends) })
			}
			wait.Wait()
			t.Logf("done: %v\nrefused: %v", h.did, h.refused)
			for text := range h.strange {
				t.Error(text)
			}
			h.check(t)
		})
	}
}

func newHammered(t *testing.T, driver string) *hammered {
	t.Helper()
	testutil.RequireRoot(t)
	testutil.RequireProgram(t, "containers-storage")
	testutil.RequireProgram(t, "podman")
	dir := memoryDir(t)
	h := &hammered{bench: newBench(t), driver: driver, dir: dir, from: newMaterials(t, dir)}
	h.did, h.refused, h.strange, h.filled = map[string]int{}, map[string]int{}, map[string]bool{}, map[string]bool{}
	conf := filepath.Join(dir, "storage.conf")
	text := fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", driver, h.graph(), filepath.Join(dir, "run"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = []string{"CONTAINERS_STORAGE_CONF=" + conf, "STORAGE_DRIVER=" + driver, "TMPDIR=" + dir}
	for _, archive := range h.from.archives {
		if _, err := h.run(h.env, binary, "load", archive); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if out, err := h.run(h.env, binary, "shutdown", "--force"); err != nil {
			t.Logf("shutdown: %v %s", err, out)
		}
	})
	return h
}

func (h *hammered) graph() string { return filepath.Join(h.dir, "graph") }

// work is one worker's sequence of commands. Most see the store changed under their
// hands and fail; how they fail counts.
func (h *hammered) work(seed uint64, ends time.Time) {
	c := &chooser{rng: rand.New(rand.NewPCG(seed, 4)), of: h.from, n: int(seed) * 10000, claim: h.claim}
	for time.Now().Before(ends) {
		now, err := observe(h.graph(), h.driver)
		if err != nil {
			h.complain("the records are not whole: " + err.Error())
			return
		}
		c.now = now
		program, args := h.choose(c)
		out, err := h.run(h.env, program, args...)
		h.count(program, args[0], err)
		if args[0] == "mount" && err == nil {
			h.unmount(args[1], out)
		}
	}
}

// claim gives a layer to the first that wants to apply a diff to it.
func (h *hammered) claim(layer string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := !h.filled[layer]
	h.filled[layer] = true
	return mine
}

// choose picks a program and what it is to do.
func (h *hammered) choose(c *chooser) (program string, args []string) {
	switch n := c.rng.IntN(20); {
	case n < 3:
		return binary, []string{"mount", c.one("container")}
	case n < 4:
		return "podman", podmanArgs(c)
	case n < 9:
		for {
			args := c.next()
			// The other engine has no such verbs, or reads its options in another way.
			if !slices.Contains([]string{"load", "import", "import-layer", "commit", "create-container"}, args[0]) {
				return "containers-storage", args
			}
		}
	}
	return binary, c.next()
}

func podmanArgs(c *chooser) []string {
	switch c.rng.IntN(4) {
	case 0:
		return []string{"tag", c.one("image"), fmt.Sprintf("localhost/tag%d", c.rng.IntN(5))}
	case 1:
		return []string{"rmi", c.one("image")}
	}
	return []string{"images", "-q"}
}

// judge keeps the failures of strata that are its own fault and not the work of the
// others.
func (h *hammered) judge(program string, err error) {
	if program != binary {
		return
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !slices.Contains([]int{2, 3, 4, 5}, exit.ExitCode()) || strings.Contains(err.Error(), "panic") {
		h.complain(err.Error())
	}
}

func (h *hammered) complain(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.strange[text] = true
}

func (h *hammered) count(program, verb string, err error) {
	if err != nil {
		h.judge(program, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	tally := h.did
	if err != nil {
		tally = h.refused
	}
	tally[filepath.Base(program)+" "+verb]++
}

func (h *hammered) unmount(id, point string) {
	if strings.TrimSpace(point) == "" {
		h.complain("mount of " + id + " printed nothing")
	}
	_, err := h.run(h.env, binary, "unmount", id)
	h.count(binary, "unmount", err)
}

// check demands all invariants, and that nothing is left mounted.
func (h *hammered) check(t *testing.T) {
	t.Helper()
	if out, err := h.run(h.env, binary, "shutdown"); err != nil {
		t.Errorf("shutdown: %v %s", err, out)
	}
	var mounts []byte
	err := h.do(func() (err error) {
		mounts, err = os.ReadFile("/proc/thread-self/mountinfo")
		return err
	})
	if err != nil || strings.Contains(string(mounts), h.graph()) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
	out, err := examination{Driver: h.driver, Dir: h.dir}.run(func(cmd *exec.Cmd) error {
		return h.do(cmd.Start)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range slices.Concat(out.Errors, out.Findings) {
		t.Error(text)
	}
}
