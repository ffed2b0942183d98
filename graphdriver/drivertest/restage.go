package drivertest

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// stageAgain: a stage that begins with a layer's files, and takes their place. Drivers that
// can not do that have nothing to show.
func stageAgain(e *env) {
	r, ok := e.d.(graphdriver.Restager)
	if !ok {
		return
	}
	e.populated()
	e.layer("twin", "base", testutil.Entry{Name: "mine", Body: "1"}, testutil.Entry{Name: ".wh.file"})
	e.layer("top", "base", testutil.Entry{Name: "mine", Body: "1"}, testutil.Entry{Name: ".wh.file"})
	more := e.childTar()
	e.apply("twin", "base", more)
	for _, apart := range []bool{false, true} {
		before, own := e.generation(r, "top"), e.tree("top")
		e.must(e.again(r, apart, more).Discard())
		e.same("the layer after another was prepared", e.tree("top"), own)
		st := e.again(r, apart, more)
		e.wants("adopted", st.Adopt(e.Context(), "other"), errdefs.ErrInvalid)
		next, err := st.Generation()
		e.must(err)
		e.must(st.Replace(e.Context(), "top"))
		if now := e.generation(r, "top"); now != next || now == before {
			e.Errorf("generation %q became %q, not %q", before, now, next)
		}
		e.must(st.Discard())
		e.same("the layer", e.tree("top"), e.tree("twin"))
	}
	e.mounted("top", func(dir string) { e.wantFile(dir, "mine", facts{kind: unix.S_IFREG, mode: 0o644, content: "1"}) })
	_, err := r.Restage(e.Context(), "nobody", false)
	e.wants("unknown layer", err, errdefs.ErrNotFound)
}

// again prepares another "top" with a diff.
func (e *env) again(r graphdriver.Restager, apart bool, diff []byte) graphdriver.Restaged {
	e.Helper()
	st, err := r.Restage(e.Context(), "top", apart)
	e.must(err)
	_, err = st.ApplyDiff(e.Context(), bytes.NewReader(diff), graphdriver.ApplyOptions{})
	e.must(err)
	return st
}

// stageAgainLink: what the layer has must not be changed through its second name.
func stageAgainLink(e *env) {
	r, ok := e.d.(graphdriver.Restager)
	if !ok {
		return
	}
	e.layer("base", "", testutil.Entry{Name: "a", Body: "a"})
	diff := testutil.Tar(e, testutil.Entry{Name: "b", Type: '1', Link: "a", Mode: 0o600})
	for apart, want := range map[bool]error{false: archive.ErrShared, true: nil} {
		st, err := r.Restage(e.Context(), "base", apart)
		e.must(err)
		_, err = st.ApplyDiff(e.Context(), bytes.NewReader(diff), graphdriver.ApplyOptions{})
		if !errors.Is(err, want) {
			e.Errorf("apart %t: %v, want %v", apart, err, want)
		}
		e.must(st.Discard())
	}
	e.mounted("base", func(dir string) { e.wantFile(dir, "a", facts{kind: unix.S_IFREG, mode: 0o644, content: "a"}) })
}

func (e *env) generation(r graphdriver.Restager, id graphdriver.ID) string {
	e.Helper()
	now, err := r.Generation(e.Context(), id)
	e.must(err)
	return now
}
