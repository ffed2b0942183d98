package powertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// volumeChooser picks what a workload on volumes does next.
type volumeChooser struct {
	rng *rand.Rand
	dir string // of the file system, with the directories below volumes
	now storeState
	n   int
}

// volume is the name of a volume of the driver, of any if that is "".
func (c *volumeChooser) volume(driver string) string {
	return pick(c.rng, slices.DeleteFunc(c.now.ids("volume"), func(name string) bool {
		return driver != "" && c.now.record("volume", name)["Driver"] != driver
	}))
}

// verbs are the changing ones. "write" is none of the command: it changes files in a volume.
func (c *volumeChooser) verbs() []string {
	fresh := fmt.Sprintf("v%d", c.n)
	create := "create --label n=" + fresh + " "
	verbs := []string{
		create + fresh,
		create + "--driver ontop --opt base=" + filepath.Join(c.dir, "base") + " " + fresh,
		create + "--driver ontop --opt volatile=yes --opt base=" + filepath.Join(c.dir, "base") + " " + fresh,
		create + "--driver ontop --opt lower=localhost/image0:latest " + fresh,
		create + "--opt type=none --opt o=bind --opt device=" + filepath.Join(c.dir, "device") + " " + fresh,
	}
	if any := c.volume(""); any != "" {
		verbs = append(verbs, "clone "+any+" "+fresh, "rename "+any+" "+fresh, "rm "+any, "write "+any, "write "+c.volume(""))
	}
	if top := c.volume("ontop"); top != "" {
		verbs = append(verbs, "write "+top, "snapshot "+top+" "+fresh, "discard "+top,
			"commit --dir "+filepath.Join(c.dir, "out", fresh)+" "+top, "commit --output "+filepath.Join(c.dir, "out", fresh+".tar")+" "+top)
	}
	return verbs
}

// next is the next command. Volumes are removed once there are many.
func (c *volumeChooser) next() []string {
	c.n++
	if len(c.now.ids("volume")) > 10 && c.rng.IntN(2) == 0 {
		return []string{"rm", c.volume("")}
	}
	return strings.Fields(pick(c.rng, c.verbs()))
}

// volumeWork is a workload on volumes.
type volumeWork struct{ *workload }

// furnish makes what volumes stand on: directories, and an image.
func (w volumeWork) furnish(t *testing.T) {
	t.Helper()
	err := w.do(func() error {
		for _, dir := range []string{"base/sub", "device", "out"} {
			if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o755); err != nil {
				return err
			}
		}
		for name, text := range map[string]string{"base/kept": "kept", "base/sub/gone": "gone"} {
			if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		return w.flush()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.strata("load", newMaterials(t, w.tmp).archives[0]); err != nil {
		t.Fatal(err)
	}
}

// flush makes everything written so far last, as a program does that cares.
func (w volumeWork) flush() error {
	fd, err := unix.Open(w.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Syncfs(fd)
}

// run does n commands, as workload.run does.
func (w volumeWork) run(t *testing.T, seed uint64, n int) {
	t.Helper()
	c := &volumeChooser{rng: rand.New(rand.NewPCG(seed, 5)), dir: w.dir}
	did, failed := map[string]int{}, map[string]int{}
	for range n {
		var err error
		if c.now, err = w.see(); err != nil {
			t.Fatal(err)
		}
		step := done{args: c.next(), before: c.now, started: w.rec.position()}
		if step.args[0] == "write" {
			step.err = w.write(c, step.args[1])
		} else {
			_, step.err = w.strata(append([]string{"volume"}, step.args...)...)
		}
		step.ended = w.rec.position()
		if step.after, err = w.see(); err != nil {
			t.Fatalf("after %s: %v", describe(step.args), err)
		}
		if did[step.args[0]]++; step.err != nil {
			failed[step.args[0]]++
		}
		w.steps = append(w.steps, step)
	}
	t.Logf("%d commands, %d events of the disk, done: %v, failed: %v", n, w.rec.position(), did, failed)
}

func (w volumeWork) see() (state storeState, err error) {
	err = w.do(func() error {
		state, err = observeVolumes(w.dir)
		return err
	})
	return state, err
}

// write changes a volume as a container does, and makes it last.
func (w volumeWork) write(c *volumeChooser, volume string) error {
	path, err := w.strata("volume", "mount", volume)
	if err != nil {
		return err
	}
	err = w.do(func() error {
		path := strings.TrimSpace(path)
		for i := range 1 + c.rng.IntN(3) {
			if err := os.WriteFile(filepath.Join(path, fmt.Sprintf("f%d", i)), noise(c.rng, c.rng.IntN(9000)), 0o600); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(filepath.Join(path, "sub")); err != nil {
			return err
		}
		return w.flush()
	})
	if _, again := w.strata("volume", "unmount", volume); again != nil {
		return again
	}
	return err
}

// compare says what is wrong with the state after a cut: each volume and each output is as
// after the last command that had returned, or as the one in progress makes it.
func (w volumeWork) compare(at int, got storeState) []string {
	states, _ := w.promised(at)
	for i, state := range states {
		states[i] = maps.Clone(state) // which other cuts are held to as well
	}
	for _, s := range w.steps {
		if s.started >= at || s.ended <= at {
			continue
		}
		switch last := "volume " + s.args[len(s.args)-1]; s.args[0] {
		case "write": // not promised yet: its content may be anything
			if got[last] == "" {
				return []string{last + " is gone while files in it were written"}
			}
			for _, state := range append(states, got) {
				state[last] = "written"
			}
		case "rename":
			if old := "volume " + s.args[1]; got[old] == "" && got[last] == "" {
				return []string{old + " is gone while it was renamed"}
			}
		}
	}
	return got.differences(states...)
}

// verdict examines the disk after one cut.
func (w volumeWork) verdict(image string, c cut) ([]string, error) {
	_, when := w.promised(c.at)
	out, err := examine(examination{Image: image, FileSystem: w.fsys.name, Driver: w.driver, Dir: w.dir, Volumes: binary})
	if err != nil {
		return nil, fmt.Errorf("%v, %s: %w", c, when, err)
	}
	var bad []string
	for _, e := range slices.Concat(out.Errors, out.Findings, w.compare(c.at, out.Swept)) {
		bad = append(bad, fmt.Sprintf("%v, %s: %s", c, when, e))
	}
	return bad, nil
}

// TestVolumePowerCut: whatever the disk makes of a power cut, every volume whose command had
// returned is there, with its labels, options and content; what is below volumes is untouched,
// and each can be mounted, once.
func TestVolumePowerCut(t *testing.T) {
	commands, cuts := 80, 200
	switch {
	case full():
	case testing.Short():
		commands, cuts = 12, 4
	default:
		commands, cuts = 30, 16
	}
	for _, fsys := range fileSystems() {
		t.Run(fsys.name, func(t *testing.T) {
			start := time.Now()
			w := volumeWork{newWorkload(t, fsys, "overlay", "filesystem")}
			w.furnish(t)
			w.run(t, 21, commands)
			for _, bad := range judge(t, w.workload, w.cuts(22, cuts), w.verdict) {
				for _, text := range bad {
					t.Error(text)
				}
			}
			t.Logf("%d cuts, all took %v", cuts, time.Since(start))
		})
	}
}
