package drivertest

import (
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func trashCases() []testCase {
	trasher := []need{needsTrasher}
	return []testCase{
		{name: "trash: layer is gone at once", needs: trasher, run: trashAtOnce},
		{name: "trash: nothing", needs: trasher, run: trashNothing},
		{name: "trash: mounted layer", needs: trasher, run: trashMounted},
		{name: "trash: killed", needs: trasher, run: trashKilled},
		{name: "apply in place: killed", run: applyKilled},
	}
}

func (e *env) trash(id graphdriver.ID) (remove func() error) {
	e.Helper()
	remove, err := power[graphdriver.Trasher](e, e.d).Trash(e.Context(), id)
	e.must(err)
	return remove
}

func trashAtOnce(e *env) {
	e.leavesNothing(func() {
		e.populated()
		remove := e.trash("base")
		e.exists("base", false)
		if l, ok := e.d.(graphdriver.Lister); ok {
			if ids, err := l.List(e.Context()); err != nil || len(ids) != 0 {
				e.Errorf("List = %q, %v", ids, err)
			}
		}
		e.layer("base", "", testutil.Entry{Name: "second", Body: "1"}) // the ID is free
		e.must(remove())
		e.mounted("base", func(dir string) { e.wantNames(dir, "second") })
		e.must(e.trash("base")())
		e.exists("base", false)
	})
}

func trashNothing(e *env) {
	e.leavesNothing(func() { e.must(e.trash("nobody")()) })
}

func trashMounted(e *env) {
	e.create("base", "")
	e.leavesNothing(func() {
		e.create("child", "base")
		dir := e.get(e.d, "child")
		remove := e.trash("child")
		if e.isMount(dir) {
			e.Error("still mounted")
		}
		e.must(remove())
		e.exists("child", false)
	})
}

// trashKilled: a process dies between Trash and the removal.
func trashKilled(e *env) {
	e.create("other", "")
	before := e.onDisk()
	e.layer("base", "", testutil.Entry{Name: "f", Body: "1"})
	e.killed(victimTrash)
	e.exists("base", false)
	e.d = e.open()
	e.same("left on disk", e.onDisk(), before)
}

// applyKilled: a layer that was being filled in place stays, half; it can be removed.
func applyKilled(e *env) {
	e.create("base", "")
	before := e.onDisk()
	e.create("child", "base")
	e.killed(victimDirect)
	e.d = e.open()
	e.exists("child", true)
	e.must(e.d.Remove(e.Context(), "child"))
	e.same("left on disk", e.onDisk(), before)
}
