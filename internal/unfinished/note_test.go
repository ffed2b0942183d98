package unfinished_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/unfinished"
)

func begin(t *testing.T, dir string, c unfinished.Change) *unfinished.Note {
	t.Helper()
	n, err := unfinished.Begin(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func list(t *testing.T, dir, driver string) []unfinished.Left {
	t.Helper()
	left, err := unfinished.List(dir, driver)
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i].Path = ""
	}
	return left
}

func TestNote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "strata", "unfinished")
	if got := list(t, dir, "overlay"); got != nil {
		t.Fatalf("no directory: %v", got)
	}
	c := unfinished.Change{Driver: "overlay", Layers: []string{"a"}}
	n := begin(t, dir, c)
	more := unfinished.Change{Driver: "overlay", Uses: []string{"b"}, Items: []unfinished.Item{{Kind: "image", ID: "i", Key: "k", Digest: "d", Size: 3}}}
	if err := n.Add(more); err != nil {
		t.Fatal(err)
	}
	c.Uses, c.Items = more.Uses, more.Items
	if diff := cmp.Diff([]unfinished.Left{{Change: c, Alive: true}}, list(t, dir, "overlay")); diff != "" {
		t.Error(diff)
	}
	if got := list(t, dir, "vfs"); got != nil {
		t.Errorf("another driver's: %v", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]unfinished.Left{{Change: c}}, list(t, dir, "overlay")); diff != "" {
		t.Errorf("after its writer's end: %s", diff)
	}
	left, err := unfinished.List(dir, "overlay")
	if err != nil {
		t.Fatal(err)
	}
	if err := unfinished.Forget(left[0]); err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir, "overlay"); got != nil {
		t.Errorf("forgotten: %v", got)
	}
}

func TestDone(t *testing.T) {
	dir := t.TempDir()
	n := begin(t, dir, unfinished.Change{Driver: "vfs"})
	for range 2 {
		if err := n.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Add(unfinished.Change{}); err == nil {
		t.Error("a note that is over can be added to")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestCutLineCountsForNothing(t *testing.T) {
	dir := t.TempDir()
	text := `{"driver":"vfs","draft":true,"made":[{"id":"a","created":"2026-01-02T03:04:05.000000006Z"}]}` + "\n" + `{"driver":"vfs","made":[{"id":"b`
	if err := os.WriteFile(filepath.Join(dir, strings.Repeat("a", 64)), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	made := []unfinished.Made{{ID: "a", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}}
	want := []unfinished.Left{{Change: unfinished.Change{Driver: "vfs", Draft: true, Made: made}}}
	if diff := cmp.Diff(want, list(t, dir, "vfs")); diff != "" {
		t.Error(diff)
	}
	// What others add after that counts.
	if err := unfinished.Keep(dir, "vfs", "a", "other"); err != nil {
		t.Fatal(err)
	}
	got := list(t, dir, "vfs")
	if len(got) != 1 || len(got[0].Made) != 1 || len(got[0].Own()) != 0 {
		t.Errorf("with a layer kept: %+v", got)
	}
}

func TestKeepWhileTheWriterLives(t *testing.T) {
	dir := t.TempDir()
	n := begin(t, dir, unfinished.Change{Driver: "vfs", Draft: true, Made: []unfinished.Made{{ID: "a"}, {ID: "b"}}})
	other := begin(t, dir, unfinished.Change{Driver: "vfs", Draft: true, Uses: []string{"a"}})
	if err := unfinished.Keep(dir, "vfs", "a"); err != nil {
		t.Fatal(err)
	}
	if err := n.Add(unfinished.Change{Made: []unfinished.Made{{ID: "c"}}}); err != nil {
		t.Fatal(err)
	}
	mine, err := unfinished.Find(n.Path())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]unfinished.Made{{ID: "b"}, {ID: "c"}}, mine.Own()); diff != "" {
		t.Error(diff)
	}
	if l, err := unfinished.Find(other.Path()); err != nil || l.Kept != nil {
		t.Errorf("the other's: %+v, %v", l, err)
	}
	if err := errors.Join(n.Done(), other.Done()); err != nil {
		t.Fatal(err)
	}
	if _, err := unfinished.Find(n.Path()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("found what is over: %v", err)
	}
}

func TestPending(t *testing.T) {
	dir := t.TempDir()
	want := func(what string, want bool) {
		t.Helper()
		if got, err := unfinished.Pending(dir, "vfs"); err != nil || got != want {
			t.Errorf("%s: pending %t, %v", what, got, err)
		}
	}
	want("nothing", false)
	draft := begin(t, dir, unfinished.Change{Driver: "vfs", Draft: true})
	change := begin(t, dir, unfinished.Change{Driver: "vfs"})
	foreign := begin(t, dir, unfinished.Change{Driver: "overlay"})
	want("all live", false)
	if err := errors.Join(draft.Close(), foreign.Close()); err != nil {
		t.Fatal(err)
	}
	want("a dead draft", false)
	if err := change.Close(); err != nil {
		t.Fatal(err)
	}
	want("a dead change", true)
}

// TestDoneFails: a draft that is over is one for nobody, though its file stays.
func TestDoneFails(t *testing.T) {
	dir := t.TempDir()
	n := begin(t, dir, unfinished.Change{Driver: "vfs", Draft: true, Made: []unfinished.Made{{ID: "a"}}})
	broken := errors.New("broken")
	disable := faults.Enable(faults.Rule{Point: "unfinished.done", Under: dir, Err: broken})
	err := n.Done()
	disable()
	if !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got := list(t, dir, "vfs"); len(got) != 1 || got[0].Draft || got[0].Alive {
		t.Errorf("left %+v", got)
	}
}
