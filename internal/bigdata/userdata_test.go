package bigdata_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/faults"
)

// leftOver makes the directory of an object that no record owns, with an engine's files,
// and returns its parent and the engine's file.
func leftOver(t *testing.T) (parent, state string) {
	t.Helper()
	parent = t.TempDir()
	state = filepath.Join(parent, "id", bigdata.UserData, "state")
	must(t, os.MkdirAll(filepath.Dir(state), 0o700))
	must(t, os.WriteFile(state, []byte("engine's"), 0o600))
	must(t, os.WriteFile(filepath.Join(parent, "id", "leftover"), nil, 0o600))
	return parent, state
}

func newStageOf(t *testing.T, parent string, keys ...string) *bigdata.Stage {
	t.Helper()
	var items []bigdata.Item
	for _, key := range keys {
		items = append(items, bigdata.Item{Key: key, Data: []byte("new")})
	}
	st, err := bigdata.StageItems(t.Context(), parent, items, bigdata.Options{})
	must(t, err)
	return st
}

func wantState(t *testing.T, state string) {
	t.Helper()
	if got, err := os.ReadFile(state); err != nil || string(got) != "engine's" {
		t.Errorf("the engine's file: %q, %v", got, err)
	}
}

// TestEnginesFilesStay: whatever step of adopting fails, what an engine keeps beside the
// items is there afterwards, also if another process sweeps the stage of a dead one.
func TestEnginesFilesStay(t *testing.T) {
	errFault := errors.New("fault")
	parent, _ := leftOver(t)
	stop := faults.Record(parent)
	must(t, newStageOf(t, parent, "manifest", "A_b").Adopt("id"))
	points := stop()
	for i, point := range points {
		t.Run(point, func(t *testing.T) {
			parent, state := leftOver(t)
			defer faults.Enable(faults.Rule{Under: parent, Skip: i, Times: 1, Err: errFault, Do: func() { wantState(t, state) }})()
			st, err := bigdata.StageItems(t.Context(), parent, []bigdata.Item{{Key: "manifest"}, {Key: "A_b"}}, bigdata.Options{})
			var c bigdata.Changes
			if err == nil {
				err = c.Adopt(st, "id")
			}
			if !errors.Is(err, errFault) {
				t.Fatalf("error %v, want the fault", err)
			}
			must(t, errors.Join(st.Discard(), c.Undo()))
			wantState(t, state)
			for _, name := range names(t, parent) {
				if bigdata.IsStage(name) {
					t.Errorf("%s stays", name)
				}
			}
		})
	}
	if len(points) < 4 {
		t.Fatalf("points: %v", points)
	}
}

func TestUndo(t *testing.T) {
	parent, state := leftOver(t)
	var c bigdata.Changes
	for _, id := range []string{"id", "fresh"} {
		must(t, c.Adopt(newStageOf(t, parent, "manifest"), id))
	}
	must(t, c.Undo())
	wantState(t, state)
	if diff := cmp.Diff([]string{"id"}, names(t, parent)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{bigdata.UserData}, names(t, filepath.Dir(filepath.Dir(state)))); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

// TestLinkInThePlace: what a link leads to is nobody's left-over.
func TestLinkInThePlace(t *testing.T) {
	elsewhere, state := leftOver(t)
	parent := t.TempDir()
	must(t, os.Symlink(filepath.Join(elsewhere, "id"), filepath.Join(parent, "id")))
	must(t, newStageOf(t, parent, "manifest").Adopt("id"))
	wantState(t, state)
	if diff := cmp.Diff([]string{"leftover", bigdata.UserData}, names(t, filepath.Join(elsewhere, "id"))); diff != "" {
		t.Errorf("behind the link (-want +got):\n%s", diff)
	}
	if info, err := os.Lstat(filepath.Join(parent, "id")); err != nil || !info.IsDir() {
		t.Errorf("the object's directory: %v, %v", info, err)
	}
}
