package drivertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/testutil"
)

// benchFiles is the size of the layer that Bench works on: files of 0 to 8 KiB in 40
// directories, about what a small distribution image has.
const benchFiles = 2000

// Bench measures what users wait for: filling a layer, making a child, mounting, listing
// changes, reading a diff, removing; and mounting at the end of a long chain. Layers have
// 2000 files. Bytes per second are of the layer's tar.
func (s Suite) Bench(b *testing.B) {
	if s.Caps.NeedsRoot {
		testutil.RequireRoot(b)
	}
	diff := benchTar(b)
	b.Run("fill", func(b *testing.B) { newEnv(b, s, b.Name()).benchFill(b, diff) })
	b.Run("child", func(b *testing.B) { newEnv(b, s, b.Name()).benchChild(b, diff) })
	b.Run("mount", func(b *testing.B) { newEnv(b, s, b.Name()).benchMount(b, diff) })
	b.Run("changes", func(b *testing.B) { newEnv(b, s, b.Name()).benchChanges(b, diff) })
	b.Run("diff", func(b *testing.B) { newEnv(b, s, b.Name()).benchDiff(b, diff) })
	b.Run("remove", func(b *testing.B) { newEnv(b, s, b.Name()).benchRemove(b, diff) })
	b.Run("deep mount", func(b *testing.B) { newEnv(b, s, b.Name()).benchDeep(b) })
}

func benchTar(tb testing.TB) []byte {
	tb.Helper()
	var entries []testutil.Entry
	for n := range benchFiles {
		if n%50 == 0 {
			entries = append(entries, testutil.Entry{Name: fmt.Sprintf("dir%02d/", n/50)})
		}
		entries = append(entries, testutil.Entry{
			Name: fmt.Sprintf("dir%02d/file%04d", n/50, n), Body: strings.Repeat("strata", n%17*80), Mtime: stamp(n),
		})
	}
	return testutil.Tar(tb, entries...)
}

// fill makes a layer with the tar in it, by a stage where there are stages.
func (e *env) fill(id, parent graphdriver.ID, diff []byte) {
	e.Helper()
	if e.suite.Caps.Stager {
		st := e.stage(parent, diff)
		e.must(st.Adopt(e.Context(), id))
		e.must(st.Discard())
		return
	}
	e.create(id, parent)
	e.apply(id, parent, diff)
}

func (e *env) benchFill(b *testing.B, diff []byte) {
	b.SetBytes(int64(len(diff)))
	for b.Loop() {
		e.fill("base", "", diff)
		b.StopTimer()
		e.must(e.d.Remove(e.Context(), "base"))
		b.StartTimer()
	}
}

func (e *env) benchChild(b *testing.B, diff []byte) {
	e.fill("base", "", diff)
	for b.Loop() {
		e.create("child", "base")
		b.StopTimer()
		e.must(e.d.Remove(e.Context(), "child"))
		b.StartTimer()
	}
}

func (e *env) benchMount(b *testing.B, diff []byte) {
	e.fill("base", "", diff)
	e.create("child", "base")
	for b.Loop() {
		e.get(e.d, "child")
		e.must(e.d.Put(e.Context(), "child"))
	}
}

func (e *env) benchChanges(b *testing.B, diff []byte) {
	e.benchChanged(diff)
	for b.Loop() {
		if n := len(e.changes("child", "base")); n != 21 {
			b.Fatalf("%d changes", n)
		}
	}
}

// benchChanged makes "child" with ten new files in ten directories, and one more directory.
func (e *env) benchChanged(diff []byte) {
	e.fill("base", "", diff)
	e.create("child", "base")
	e.mounted("child", func(dir string) {
		for n := range 10 {
			e.must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("dir%02d/new", n)), []byte("new"), 0o600))
		}
		e.in(dir, mkdir("more"))
	})
}

func (e *env) benchDiff(b *testing.B, diff []byte) {
	e.create("base", "")
	e.fill("child", "base", diff)
	b.SetBytes(int64(len(diff)))
	for b.Loop() {
		r, err := e.d.Diff(e.Context(), "child", "base", graphdriver.DiffOptions{})
		e.must(err)
		_, err = io.Copy(io.Discard, r)
		e.must(errors.Join(err, r.Close()))
	}
}

func (e *env) benchRemove(b *testing.B, diff []byte) {
	for b.Loop() {
		b.StopTimer()
		e.fill("base", "", diff)
		b.StartTimer()
		e.must(e.d.Remove(e.Context(), "base"))
	}
}

func (e *env) benchDeep(b *testing.B) {
	var parent graphdriver.ID
	for n := range 100 {
		id := graphdriver.ID(fmt.Sprintf("layer%03d", n))
		e.create(id, parent)
		_, err := e.d.ApplyDiff(e.Context(), id, parent, bytes.NewReader(testutil.Tar(e, testutil.Entry{Name: "f", Body: string(id)})), graphdriver.ApplyOptions{})
		e.must(err)
		parent = id
	}
	for b.Loop() {
		e.get(e.d, parent)
		e.must(e.d.Put(e.Context(), parent))
	}
}
