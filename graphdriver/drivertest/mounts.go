package drivertest

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func mountCases() []testCase {
	return []testCase{
		{name: "get of unknown layer", run: getUnknown},
		{name: "get and put are counted", run: getPutCounted},
		{name: "put without get", run: putWithoutGet},
		{name: "written files stay", run: writtenFilesStay},
		{name: "read-only get", needs: []need{needsMounts}, run: readOnlyGet},
		{name: "option ro", run: optionRO},
		{name: "second process finds a mount", run: secondProcess},
		{name: "put by a process that never got", needs: []need{needsMounts}, run: putByStranger},
		{name: "mount outlives a killed process", run: mountOutlivesProcess},
		{name: "remove while mounted", run: removeWhileMounted},
		{name: "mount state", needs: []need{needsMountState}, run: mountState},
		{name: "shifted mount", needs: []need{needsShifter, needsOwners}, run: shiftedMount},
		{name: "lost mount is made again", needs: []need{needsMounts}, run: lostMount},
	}
}

func (e *env) get(d graphdriver.Driver, id graphdriver.ID) string {
	e.Helper()
	dir, err := d.Get(e.Context(), id, graphdriver.MountOptions{})
	e.must(err)
	return dir
}

// isMount asks the kernel.
func (e *env) isMount(dir string) bool {
	e.Helper()
	mounted, err := mountinfo.Mounted(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		e.Fatal(err)
	}
	return mounted
}

// wantMount checks for a mount, if the driver makes any.
func (e *env) wantMount(when, dir string, want bool) {
	e.Helper()
	if got := e.isMount(dir); got != (want && e.suite.Caps.Mounts) {
		e.Errorf("%s: mounted is %v", when, got)
	}
}

func getUnknown(e *env) {
	e.leavesNothing(func() {
		_, err := e.d.Get(e.Context(), "nobody", graphdriver.MountOptions{})
		e.wants("get", err, errdefs.ErrNotFound)
	})
}

func getPutCounted(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("child", "base")
	before := mountsBelow(e, e.root)
	dir := e.get(e.d, "child")
	if !filepath.IsAbs(dir) {
		e.Errorf("Get returned %q, which is not absolute", dir)
	}
	if again := e.get(e.d, "child"); again != dir {
		e.Errorf("second Get returned %q, the first %q", again, dir)
	}
	e.wantMount("after two Gets", dir, true)
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after one Put", dir, true)
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		e.Errorf("after one Put: %v", err)
	}
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after both Puts", dir, false)
	e.same("mounts", mountsBelow(e, e.root), before)
}

func putWithoutGet(e *env) {
	e.create("base", "")
	e.create("child", "base")
	e.leavesNothing(func() {
		e.must(e.d.Put(e.Context(), "child"))
		e.must(e.d.Put(e.Context(), "child"))
	})
	dir := e.get(e.d, "child") // the spare Puts must not have been counted
	e.wantMount("after Get", dir, true)
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after Put", dir, false)
}

func writtenFilesStay(e *env) {
	e.layer("base", "", testutil.Entry{Name: "d/"}, testutil.Entry{Name: "d/f", Body: "1"})
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		e.must(os.WriteFile(filepath.Join(dir, "d/new"), []byte("x"), 0o640))
		e.must(os.Remove(filepath.Join(dir, "d/f")))
	})
	want := e.tree("child")
	e.d = e.open()
	e.same("child", e.tree("child"), want)
}

func readOnlyGet(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("child", "base")
	for _, id := range []graphdriver.ID{"base", "child"} {
		for what, opts := range map[string]graphdriver.MountOptions{
			"flag": {ReadOnly: true}, "option": {Options: []string{"ro"}},
		} {
			dir, err := e.d.Get(e.Context(), id, opts)
			e.must(err)
			if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
				e.Errorf("%s by %s: %v", id, what, err)
			}
			if err := os.WriteFile(filepath.Join(dir, "g"), nil, 0o600); !errors.Is(err, unix.EROFS) {
				e.Errorf("write to %s, read-only by %s: %v, want EROFS", id, what, err)
			}
			e.must(e.d.Put(e.Context(), id))
		}
	}
}

func optionRO(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	dir, err := e.d.Get(e.Context(), "base", graphdriver.MountOptions{Options: []string{"ro"}})
	e.must(err)
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		e.Error(err)
	}
	e.must(e.d.Put(e.Context(), "base"))
	e.leavesNothing(func() {
		_, err := e.d.Get(e.Context(), "base", graphdriver.MountOptions{Options: []string{"no-such-option=1"}})
		if err == nil {
			e.Error("an unknown mount option was accepted")
			e.must(e.d.Put(e.Context(), "base"))
		}
	})
}

// secondProcess: who finds a layer mounted uses that mount and leaves it alone.
func secondProcess(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("child", "base")
	dir := e.get(e.d, "child")
	e.must(os.WriteFile(filepath.Join(dir, "by-first"), []byte("1"), 0o600))
	other := e.open()
	if got := e.get(other, "child"); got != dir {
		e.Errorf("second process got %q, the first %q", got, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "by-first")); err != nil {
		e.Errorf("seen by the second process: %v", err)
	}
	e.must(other.Put(e.Context(), "child"))
	e.wantMount("after the second process is done", dir, true)
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after both are done", dir, false)
}

func putByStranger(e *env) {
	e.create("base", "")
	e.create("child", "base")
	dir := e.get(e.d, "child")
	stranger := e.open()
	e.must(stranger.Put(e.Context(), "child"))
	e.wantMount("after a Put by a process that never got", dir, false)
	e.must(e.d.Put(e.Context(), "child")) // nothing left to unmount
}

// mountOutlivesProcess: a process dies with a mount, as after a crash of an engine.
func mountOutlivesProcess(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("child", "base")
	e.must(e.d.Cleanup(e.Context()))
	e.killed(victimMount)
	e.d = e.open()
	dir := e.get(e.d, "child")
	e.wantMount("found", dir, true)
	for _, f := range []string{"f", "by-victim"} {
		if _, err := os.Stat(filepath.Join(dir, f)); err != nil {
			e.Error(err)
		}
	}
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after Get and Put", dir, true) // containers of the dead engine may use it
	e.must(e.d.Put(e.Context(), "child"))
	e.wantMount("after a further Put", dir, false)
}

func removeWhileMounted(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.leavesNothing(func() {
		for n := range 2 {
			id := graphdriver.ID(fmt.Sprintf("child%d", n))
			e.create(id, "base")
			dir := e.get(e.d, id)
			e.must(os.WriteFile(filepath.Join(dir, "g"), []byte("x"), 0o600))
			if n == 1 {
				e.must(e.open().Remove(e.Context(), id)) // by a process that never got it
			} else {
				e.must(e.d.Remove(e.Context(), id))
			}
			e.exists(id, false)
			if e.isMount(dir) {
				e.Errorf("%s is still mounted", dir)
			}
			e.must(e.d.Put(e.Context(), id)) // the Put that is owed
		}
	})
	// The ID starts from zero afterwards.
	e.create("child0", "base")
	dir := e.get(e.d, "child0")
	e.wantMount("after Get", dir, true)
	e.must(e.d.Put(e.Context(), "child0"))
	e.wantMount("after Put", dir, false)
}

func mountState(e *env) {
	e.create("base", "")
	e.create("child", "base")
	state := func(d graphdriver.Driver, id graphdriver.ID) (string, bool) {
		path, mounted, err := power[graphdriver.MountState](e, d).Mounted(e.Context(), id)
		e.must(err)
		return path, mounted
	}
	if _, mounted := state(e.d, "nobody"); mounted {
		e.Error("an unknown layer is mounted")
	}
	want := !e.suite.Caps.Mounts
	if _, mounted := state(e.d, "child"); mounted != want {
		e.Errorf("before Get: mounted is %v, want %v", mounted, want)
	}
	dir := e.get(e.d, "child")
	for what, d := range map[string]graphdriver.Driver{"own": e.d, "second process": e.open()} {
		if path, mounted := state(d, "child"); !mounted || path != dir {
			e.Errorf("%s, after Get: %q, %v; want %q, true", what, path, mounted, dir)
		}
	}
	e.must(e.d.Put(e.Context(), "child"))
	if _, mounted := state(e.d, "child"); mounted != want {
		e.Errorf("after Put: mounted is %v, want %v", mounted, want)
	}
}

// lostMount: somebody unmounted the layer by hand; the next Get has to mount it again.
func lostMount(e *env) {
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.create("child", "base")
	dir := e.get(e.d, "child")
	e.must(testutil.Unmount(dir))
	e.must(e.d.Put(e.Context(), "child"))
	if got := e.get(e.d, "child"); got != dir {
		e.Errorf("Get returned %q, before %q", got, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		e.Error(err)
	}
	e.must(e.d.Put(e.Context(), "child"))
}

// shiftedMount: layers are stored as their tars say, and the mount shows a container's owners;
// what is written through it is the only change.
func shiftedMount(e *env) {
	e.layer("base", "", testutil.Entry{Name: "d/", UID: 1, GID: 2}, testutil.Entry{Name: "d/f", Body: "1", UID: 99, GID: 3})
	e.create("child", "base")
	dir, err := e.d.Get(e.Context(), "child", graphdriver.MountOptions{Mapping: hundred})
	e.must(err)
	e.wantFile(dir, "d", facts{kind: unix.S_IFDIR, mode: 0o755, uid: 100001, gid: 200002})
	e.wantFile(dir, "d/f", facts{kind: unix.S_IFREG, mode: 0o644, uid: 100099, gid: 200003, content: "1"})
	e.in(dir, writeFile("new", "2"))
	e.must(os.Chown(filepath.Join(dir, "new"), 100005, 200006))
	e.must(e.d.Put(e.Context(), "child"))
	e.mounted("base", func(dir string) {
		e.wantFile(dir, "d/f", facts{kind: unix.S_IFREG, mode: 0o644, uid: 99, gid: 3, content: "1"})
	})
	changes, err := e.d.Changes(e.Context(), "child", "base", graphdriver.DiffOptions{Mapping: hundred})
	e.must(err)
	e.same("changes", changeLines(changes), []string{`Add "/new"`})
	r, err := e.d.Diff(e.Context(), "child", "base", graphdriver.DiffOptions{Mapping: hundred})
	e.must(err)
	h, err := tar.NewReader(r).Next()
	e.must(err)
	if h.Name != "new" || h.Uid != 5 || h.Gid != 6 {
		e.Errorf("diff has %s of %d:%d, want new of 5:6", h.Name, h.Uid, h.Gid)
	}
	e.must(r.Close())
}
