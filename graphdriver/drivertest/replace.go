package drivertest

import (
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// stageReplace: a staged tree takes the place of a layer's files, and what was there goes.
// Drivers whose stages can not do that have nothing to show.
func stageReplace(e *env) {
	sound := testutil.Tar(e, testutil.Entry{Name: "dir/", Mtime: stamp(1)}, testutil.Entry{Name: "dir/file", Body: "sound", UID: 3, Mtime: stamp(2)})
	e.layer("base", "", testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/file", Body: "rotten"}, testutil.Entry{Name: "extra", Body: "x"})
	e.layer("child", "base", testutil.Entry{Name: "own", Body: "1"})
	st, ok := e.stage("", sound).(graphdriver.Replacer)
	if !ok {
		return
	}
	e.wants("unknown layer", st.Replace(e.Context(), "nobody"), errdefs.ErrNotFound)
	e.must(st.Replace(e.Context(), "base"))
	e.must(st.Discard())
	e.wants("used after its end", st.Replace(e.Context(), "base"), errdefs.ErrInvalid)
	again := e.stage("", sound)
	e.must(again.Adopt(e.Context(), "fresh"))
	e.same("the layer", e.tree("base"), e.tree("fresh"))
	e.mounted("child", func(dir string) { e.wantFile(dir, "own", facts{kind: unix.S_IFREG, mode: 0o644, content: "1"}) })
	e.must(e.d.Remove(e.Context(), "child"))
	e.must(e.d.Remove(e.Context(), "base"))
}
