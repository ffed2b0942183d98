package drivertest

import (
	"bytes"
	"context"
	"errors"
	"testing/iotest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

func stageCases() []testCase {
	stager := []need{needsStager}
	return []testCase{
		{name: "stage: adopt", needs: stager, run: stageAdopt},
		{name: "stage: base layer", needs: stager, run: stageBase},
		{name: "stage: several diffs", needs: stager, run: stageSeveral},
		{name: "stage: on a stage's layer", needs: stager, run: stageChain},
		{name: "stage: adopt a taken ID", needs: stager, run: stageTaken},
		{name: "stage: discard", needs: stager, run: stageDiscard},
		{name: "stage: unknown parent", needs: stager, run: stageUnknownParent},
		{name: "stage: failing diff", needs: stager, run: stageFailing},
		{name: "stage: used after its end", needs: stager, run: stageOver},
		{name: "stage: cancelled", needs: stager, run: stageCancelled},
		{name: "stage: killed", needs: stager, run: stageKilled},
		{name: "stage: killed after adopt", needs: stager, run: stageKilledAfterAdopt},
		{name: "stage: alive while others open", needs: stager, run: stageAlive},
		{name: "stage: replace", needs: stager, run: stageReplace},
		{name: "stage: again", needs: stager, run: stageAgain},
		{name: "stage: again, with a link", needs: stager, run: stageAgainLink},
	}
}

// staged starts a stage that is discarded at the end of the test at the latest.
func (e *env) staged(parent graphdriver.ID) graphdriver.Staged {
	e.Helper()
	st, err := power[graphdriver.Stager](e, e.d).Stage(e.Context(), parent, graphdriver.CreateOptions{})
	e.must(err)
	e.Cleanup(func() {
		if err := st.Discard(); err != nil {
			e.Errorf("discard: %v", err)
		}
	})
	return st
}

// stage makes a stage with one diff in it, synced.
func (e *env) stage(parent graphdriver.ID, diffs ...[]byte) graphdriver.Staged {
	e.Helper()
	st := e.staged(parent)
	for _, diff := range diffs {
		_, err := st.ApplyDiff(e.Context(), bytes.NewReader(diff), graphdriver.ApplyOptions{})
		e.must(err)
	}
	e.must(st.Sync(e.Context()))
	return st
}

// childTar changes what populated made.
func (e *env) childTar() []byte {
	return testutil.Tar(e,
		testutil.Entry{Name: "dir/", Mode: 0o700, Mtime: stamp(1)}, testutil.Entry{Name: "dir/.wh.sub"},
		testutil.Entry{Name: "dir/new", Body: "2", Mtime: stamp(2), Xattrs: map[string]string{"user.a": "b"}},
		testutil.Entry{Name: ".wh.file"}, testutil.Entry{Name: "keep/"}, testutil.Entry{Name: "keep/.wh..wh..opq"},
	)
}

// stageAdopt: a staged layer is the layer that Create and ApplyDiff make.
func stageAdopt(e *env) {
	e.populated()
	e.create("plain", "base")
	size := e.apply("plain", "base", e.childTar())
	st := e.staged("base")
	n, err := st.ApplyDiff(e.Context(), bytes.NewReader(e.childTar()), graphdriver.ApplyOptions{})
	e.must(err)
	if n != size {
		e.Errorf("staged ApplyDiff counted %d bytes, the plain one %d", n, size)
	}
	e.exists("staged", false)
	if l, ok := e.d.(graphdriver.Lister); ok {
		ids, err := l.List(e.Context())
		e.must(err)
		if len(ids) != 2 {
			e.Errorf("while staged, the driver lists %q", ids)
		}
	}
	e.must(st.Sync(e.Context()))
	e.must(st.Adopt(e.Context(), "staged"))
	e.must(st.Discard())
	e.exists("staged", true)
	e.same("tree", e.tree("staged"), e.tree("plain"))
	e.same("changes", e.changes("staged", "base"), e.changes("plain", "base"))
	if !bytes.Equal(e.diff("staged", "base"), e.diff("plain", "base")) {
		e.Error("diffs differ")
	}
	e.must(e.d.Remove(e.Context(), "staged"))
	e.exists("staged", false)
}

func stageBase(e *env) {
	e.layer("plain", "", testutil.Entry{Name: "d/", Mtime: stamp(1)}, testutil.Entry{Name: "d/f", Body: "1", Mtime: stamp(2)})
	st := e.stage("", testutil.Tar(e, testutil.Entry{Name: "d/", Mtime: stamp(1)}, testutil.Entry{Name: "d/f", Body: "1", Mtime: stamp(2)}))
	e.must(st.Adopt(e.Context(), "staged"))
	e.same("tree", e.tree("staged"), e.tree("plain"))
	e.create("child", "staged")
	e.same("child", e.tree("child"), e.tree("plain"))
}

func stageSeveral(e *env) {
	e.populated()
	st := e.stage("base",
		testutil.Tar(e, testutil.Entry{Name: "a", Body: "1"}, testutil.Entry{Name: ".wh.file"}),
		testutil.Tar(e, testutil.Entry{Name: "b", Body: "2"}, testutil.Entry{Name: ".wh.a"}))
	e.must(st.Adopt(e.Context(), "staged"))
	e.mounted("staged", func(dir string) { e.wantNames(dir, "b", "dir", "keep", "link") })
}

func stageChain(e *env) {
	e.must(e.stage("", testutil.Tar(e, testutil.Entry{Name: "a", Body: "1"})).Adopt(e.Context(), "l1"))
	e.must(e.stage("l1", testutil.Tar(e, testutil.Entry{Name: "b", Body: "2"})).Adopt(e.Context(), "l2"))
	e.must(e.stage("l2", testutil.Tar(e, testutil.Entry{Name: ".wh.a"})).Adopt(e.Context(), "l3"))
	e.mounted("l3", func(dir string) { e.wantNames(dir, "b") })
	e.d = e.open()
	e.mounted("l2", func(dir string) { e.wantNames(dir, "a", "b") })
}

func stageTaken(e *env) {
	e.populated()
	before := e.tree("base")
	e.leavesNothing(func() {
		st := e.stage("", testutil.Tar(e, testutil.Entry{Name: "f", Body: "1"}))
		e.wants("adopt", st.Adopt(e.Context(), "base"), errdefs.ErrExists)
		e.must(st.Adopt(e.Context(), "free")) // the stage is still there
		e.must(st.Discard())
		e.must(e.d.Remove(e.Context(), "free"))
	})
	e.same("base", e.tree("base"), before)
}

func stageDiscard(e *env) {
	e.populated()
	e.leavesNothing(func() {
		e.must(e.staged("base").Discard())
		st := e.stage("base", e.childTar())
		e.must(st.Discard())
		e.must(st.Discard())
		st = e.stage("", bigTar(e))
		e.must(st.Discard())
	})
}

func stageUnknownParent(e *env) {
	e.leavesNothing(func() {
		_, err := power[graphdriver.Stager](e, e.d).Stage(e.Context(), "nobody", graphdriver.CreateOptions{})
		e.wants("stage", err, errdefs.ErrNotFound)
	})
}

func stageFailing(e *env) {
	e.populated()
	errRead := errors.New("read error")
	e.leavesNothing(func() {
		for _, want := range []error{errRead, errdefs.ErrInvalid} {
			st := e.staged("base")
			diff := iotest.ErrReader(errRead)
			if !errors.Is(want, errRead) {
				diff = bytes.NewReader(testutil.Tar(e, testutil.Entry{Name: "f", Body: "1"}, testutil.Entry{Name: "../f", Body: "2"}))
			}
			_, err := st.ApplyDiff(e.Context(), diff, graphdriver.ApplyOptions{})
			e.wants("apply", err, want)
			e.must(st.Discard())
		}
	})
}

func stageOver(e *env) {
	e.populated()
	st := e.stage("base", e.childTar())
	e.must(st.Adopt(e.Context(), "child"))
	before := e.tree("child")
	_, err := st.ApplyDiff(e.Context(), bytes.NewReader(bigTar(e)), graphdriver.ApplyOptions{})
	e.wantsSome("apply after adopt", err)
	e.wantsSome("adopt again", st.Adopt(e.Context(), "child2"))
	e.must(st.Discard())
	e.leavesNothing(func() {
		_, err := st.ApplyDiff(e.Context(), bytes.NewReader(bigTar(e)), graphdriver.ApplyOptions{})
		e.wantsSome("apply after discard", err)
		e.wantsSome("adopt after discard", st.Adopt(e.Context(), "child3"))
		e.must(st.Discard())
	})
	e.same("child", e.tree("child"), before)
}

// wantsSome checks that there is an error at all.
func (e *env) wantsSome(what string, err error) {
	e.Helper()
	if err == nil {
		e.Errorf("%s: no error", what)
	}
}

func stageCancelled(e *env) {
	e.create("base", "")
	e.apply("base", "", bigTar(e))
	e.leavesNothing(func() {
		ctx, cancel := context.WithCancel(e.Context())
		defer cancel()
		st, err := power[graphdriver.Stager](e, e.d).Stage(ctx, "base", graphdriver.CreateOptions{})
		e.must(err)
		_, err = st.ApplyDiff(ctx, &hookReader{r: bytes.NewReader(bigTar(e)), after: 100_000, hook: cancel}, graphdriver.ApplyOptions{})
		e.wants("apply", err, context.Canceled)
		e.must(st.Discard())
		// Everything after the cancel either is refused or was too quick to notice.
		if err := e.d.Create(ctx, "child", "base", graphdriver.CreateOptions{}); err == nil {
			e.must(e.d.Remove(e.Context(), "child"))
		}
		e.exists("child", false)
		if st, err := power[graphdriver.Stager](e, e.d).Stage(ctx, "base", graphdriver.CreateOptions{}); err == nil {
			e.must(st.Discard())
		}
	})
}

// stageKilled: processes die while they stage; the next one to open sweeps.
func stageKilled(e *env) {
	e.populated()
	before := e.onDisk()
	for _, victim := range []string{victimStage, victimApply} {
		e.killed(victim)
		e.d = e.open()
		e.same("left on disk by "+victim, e.onDisk(), before)
	}
	e.must(e.stage("base", e.childTar()).Adopt(e.Context(), "child"))
}

func stageKilledAfterAdopt(e *env) {
	e.populated()
	e.create("plain", "base")
	e.apply("plain", "base", bigTar(e))
	e.killed(victimAdopt)
	e.d = e.open()
	e.exists("adopted", true)
	e.same("tree", e.tree("adopted"), e.tree("plain"))
}

// stageAlive: a sweep by another process leaves living stages alone.
func stageAlive(e *env) {
	e.populated()
	st := e.stage("base", e.childTar())
	e.open()
	e.must(st.Adopt(e.Context(), "child"))
	e.mounted("child", func(dir string) { e.wantNames(dir, "dir", "keep", "link") })
}
