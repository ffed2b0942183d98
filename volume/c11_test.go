package volume

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The tests TestC11_NN hold the bugs of the reference away: the numbers are those of the
// specification's list (docker-layers-and-volumes, C.11).

var errBroken = errors.New("internal error")

func TestC11_01_NamesThatDifferFromTheirNormalisedForm(t *testing.T) {
	s := openWith(t, Options{FoldCase: true}, newFake("local", "Data"))
	for range 2 { // a lock that is not given back under its own name hangs the second time
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.Get(ctx, "Data", GetOptions{Holder: Holder{ID: "c"}}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"Data"}, find(t, s, Filter{})); diff != "" {
			t.Fatal(diff)
		}
	}
	want(t, s.Remove(t.Context(), "DATA", RemoveOptions{}), OpRemove, ErrInUse)
	if err := s.Release(t.Context(), "dAtA", "c"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "Data", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
}

// filterStore has a1 and a2 of local, b1 of other; a1 and b1 have holders, a2 and b1 a label.
func filterStore(t *testing.T) (*Store, *fake, *fake) {
	t.Helper()
	local, other := newFake("local"), newFake("other")
	s := open(t, "", local, other)
	create(t, s, "a1", CreateOptions{Holder: Holder{ID: "c1"}})
	create(t, s, "a2", CreateOptions{Labels: map[string]string{"k": "v"}})
	create(t, s, "b1", CreateOptions{Driver: "other", Labels: map[string]string{"k": "w"}, Holder: Holder{ID: "c2"}})
	return s, local, other
}

func TestC11_02_OrWithADriver(t *testing.T) {
	s, _, _ := filterStore(t)
	got := find(t, s, Or(ByDriver("other"), ByLabelValue("k", "v")))
	if diff := cmp.Diff([]string{"a2", "b1"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestC11_03_OrBelowAndInEitherOrder(t *testing.T) {
	s, _, _ := filterStore(t)
	either := Or(ByDriver("other"), ByLabel("k"))
	for _, f := range []Filter{And(ByReferenced(true), either), And(either, ByReferenced(true))} {
		if diff := cmp.Diff([]string{"b1"}, find(t, s, f)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestC11_04_OnlyDriversThatMatterAreAsked(t *testing.T) {
	s, local, other := filterStore(t)
	other.failing(errBroken, "list")
	for _, f := range []Filter{
		And(ByDriver("local"), ByReferenced(false)), And(ByReferenced(false), ByDriver("local")),
		And(ByReferenced(false), Or(ByDriver("local"), And(ByDriver("local"), ByLabel("k")))),
	} {
		before := local.called("list")
		found, err := s.Find(t.Context(), f)
		if err != nil || len(found.Warnings) != 0 {
			t.Fatalf("warnings %v, error %v", found.Warnings, err)
		}
		if diff := cmp.Diff([]string{"a2"}, names(found.Volumes)); diff != "" {
			t.Error(diff)
		}
		if local.called("list") != before+1 || other.called("list") != 0 {
			t.Error("the wrong drivers were asked")
		}
	}
}

func TestC11_05_FilterWithinAList(t *testing.T) {
	s, local, _ := filterStore(t)
	all, err := s.Find(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	asked, before := local.called("list"), slices.Clone(all.Volumes)
	got, err := s.FindIn(t.Context(), all.Volumes, ByReferenced(true))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a1", "b1"}, names(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, all.Volumes); diff != "" {
		t.Errorf("the caller's list changed: %s", diff)
	}
	if local.called("list") != asked {
		t.Error("a driver was asked")
	}
}

func TestC11_06_EmptyAndIsAll(t *testing.T) {
	s, _, _ := filterStore(t)
	for _, f := range []Filter{{}, And(), And(And(), And()), Not(Or())} {
		if diff := cmp.Diff([]string{"a1", "a2", "b1"}, find(t, s, f)); diff != "" {
			t.Error(diff)
		}
	}
	for _, f := range []Filter{Or(), And(And(), Or()), Not(And())} {
		if got := find(t, s, f); len(got) != 0 {
			t.Errorf("chosen by an empty or: %v", got)
		}
	}
}

func TestC11_07_SameNameInTwoDriversIsDeterministic(t *testing.T) {
	for range 20 {
		slow := newFake("a", "x")
		slow.fail = func(op, _ string) error {
			if op == "list" {
				time.Sleep(2 * time.Millisecond) // the other answers first
			}
			return nil
		}
		s := open(t, "", newFake("b", "x", "only"), slow, newFake("local"))
		found, err := s.Find(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"only", "x"}, names(found.Volumes)); diff != "" {
			t.Fatal(diff)
		}
		if found.Volumes[1].Driver != "a" {
			t.Fatalf("volume is of driver %s", found.Volumes[1].Driver)
		}
	}
	s := open(t, "", newFake("a", "x"), newFake("b", "x"))
	if _, err := s.Get(t.Context(), "x", GetOptions{Driver: "b"}); err != nil {
		t.Fatal(err)
	}
	if found, _ := s.Find(t.Context(), Filter{}); len(found.Volumes) != 1 || found.Volumes[0].Driver != "b" {
		t.Errorf("the known owner does not win: %v", found.Volumes)
	}
}

func TestC11_08_LabelsAreOfTheRightDriver(t *testing.T) {
	local, other := newFake("local"), newFake("other", "x")
	s := open(t, "", local, other)
	create(t, s, "x", CreateOptions{Driver: "local", Labels: map[string]string{"k": "v"}})
	found, err := s.Find(t.Context(), ByDriver("other"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Volumes) != 0 {
		t.Errorf("volume of another owner is shown: %v", found.Volumes)
	}
}

func TestC11_09_DriverUseCountsBalance(t *testing.T) {
	local, other := newFake("local"), newFake("other", "found")
	s := open(t, "", local, other)
	uses := func(driver string, n int) {
		t.Helper()
		if got := s.drivers.Uses(driver); got != n {
			t.Errorf("driver %s is acquired %d times, want %d", driver, got, n)
		}
	}
	for range 3 {
		if _, err := s.Get(t.Context(), "found", GetOptions{}); err != nil {
			t.Fatal(err)
		}
		uses("other", 1)
	}
	create(t, s, "v", CreateOptions{Driver: "local:latest"})
	create(t, s, "v", CreateOptions{})
	uses("local", 1)
	local.failing(errBroken, "create")
	if _, err := s.Create(t.Context(), "w", CreateOptions{Driver: "local:latest"}); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	uses("local", 1)
	uses("local:latest", 1)
	if err := s.Remove(t.Context(), "v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "found", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	uses("local", 0)
	uses("other", 0)
}

func TestC11_10_MetadataThatCanNotBeWrittenUndoesTheVolume(t *testing.T) {
	local := newFake("local")
	s := open(t, filepath.Join(t.TempDir(), "metadata.db"), local)
	if err := s.meta.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context(), "v", CreateOptions{})
	want(t, err, OpCreate)
	if _, there := local.volumes["v"]; there {
		t.Error("the volume is left in the driver")
	}
	if s.drivers.Uses("local") != 0 {
		t.Error("the driver is still acquired")
	}
}

func TestC11_11_ErrorsOfADriverDeleteNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}})
	for _, answer := range []error{errBroken, fmt.Errorf("dial: volume not found: %w", ErrUnavailable), context.DeadlineExceeded} {
		local.failing(answer, "get")
		_, err := s.Get(t.Context(), "v", GetOptions{})
		want(t, err, OpGet, answer)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, local)
	local.failing(nil)
	v, err := s.Get(t.Context(), "v", GetOptions{})
	if err != nil || v.Labels["k"] != "v" {
		t.Fatalf("labels %v, error %v", v.Labels, err)
	}
	local.failing(errors.New("VolumeDriver.Get: No Such Volume: v"), "get")
	_, err = s.Get(t.Context(), "v", GetOptions{})
	want(t, err, OpGet, ErrNoSuchVolume)
	local.failing(nil)
	if v, err := s.Get(t.Context(), "v", GetOptions{}); err != nil || len(v.Labels) != 0 {
		t.Errorf("a volume that was gone keeps its labels %v, error %v", v.Labels, err)
	}
}

func TestC11_12_VolumesAreRestoredWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	local.scope = ScopeGlobal
	s := open(t, path, local)
	made := create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}, Options: map[string]string{"o": "1"}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, local)
	if s.drivers.Uses("local") != 1 {
		t.Error("the driver is not acquired")
	}
	found, err := s.Find(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Volume{made.Volume}, found.Volumes); diff != "" {
		t.Error(diff)
	}
}

func TestC11_13_NamesOfUnreachableDriversStayTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	down, local := newFake("down"), newFake("local")
	s := open(t, path, down, local)
	create(t, s, "v", CreateOptions{Driver: "down", Labels: map[string]string{"k": "v"}})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	down.failing(ErrUnavailable, "all")
	s = open(t, path, down, local)
	_, err := s.Create(t.Context(), "v", CreateOptions{Driver: "local"})
	want(t, err, OpCreate, ErrNameConflict, ErrUnavailable)
	found, err := s.Find(t.Context(), ByLabel("k"))
	if err != nil || len(found.Volumes) != 1 || len(found.Warnings) != 1 {
		t.Errorf("found %v, warnings %v, error %v", found.Volumes, found.Warnings, err)
	}
	down.failing(nil)
	if v, err := s.Get(t.Context(), "v", GetOptions{}); err != nil || v.Labels["k"] != "v" {
		t.Errorf("after the driver came back: %v, %v", v, err)
	}
}

func TestC11_14_MemoryOnlyStore(t *testing.T) {
	s := open(t, "", newFake("local"))
	create(t, s, "v", CreateOptions{Holder: Holder{ID: "c", Boot: s.boot}})
	if err := s.Release(t.Context(), "v", "c"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Get(t.Context(), "v", GetOptions{})
	want(t, err, OpGet, ErrClosed)
}

func TestC11_15_MapsAreCopiedInAndOut(t *testing.T) {
	s := open(t, "", newFake("local"))
	labels, options := map[string]string{"k": "v"}, map[string]string{"o": "1"}
	made := create(t, s, "v", CreateOptions{Labels: labels, Options: options})
	labels["k"], options["o"], made.Labels["k"], made.Options["o"] = "changed", "changed", "changed", "changed"
	for range 2 {
		v, err := s.Get(t.Context(), "v", GetOptions{})
		if err != nil || v.Labels["k"] != "v" || v.Options["o"] != "1" {
			t.Fatalf("volume %v, error %v", v, err)
		}
		v.Labels["k"] = "changed"
	}
}

func TestC11_16_ForcedRemovalNeedsNoDriver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	plugin := newFake("plugin")
	s := open(t, path, plugin)
	create(t, s, "v", CreateOptions{Driver: "plugin"})
	create(t, s, "w", CreateOptions{Driver: "plugin"})
	plugin.failing(ErrUnavailable, "all")
	refused := want(t, s.Remove(t.Context(), "v", RemoveOptions{}), OpRemove, ErrUnavailable)
	if refused.Forgotten || refused.Hint() == "" {
		t.Errorf("without force: %+v", refused)
	}
	if forced := want(t, s.Remove(t.Context(), "v", RemoveOptions{Force: true}), OpRemove, ErrUnavailable); !forced.Forgotten {
		t.Error("the volume is not forgotten")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path) // and with the plugin not even installed
	if refused := want(t, s.Remove(t.Context(), "w", RemoveOptions{}), OpRemove, ErrNoSuchDriver); refused.Forgotten || !strings.Contains(refused.Hint(), "--force") {
		t.Errorf("without force: %+v, hint %q", refused, refused.Hint())
	}
	if forced := want(t, s.Remove(t.Context(), "w", RemoveOptions{Force: true}), OpRemove, ErrNoSuchDriver); !forced.Forgotten {
		t.Error("the volume is not forgotten")
	}
	if err := s.Remove(t.Context(), "w", RemoveOptions{Force: true}); err != nil {
		t.Errorf("a volume that is not there: %v", err)
	}
}

func TestC11_17_ContextThatEndsAfterTheRemoval(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	local := newFake("local")
	s := open(t, path, local)
	create(t, s, "v", CreateOptions{Labels: map[string]string{"k": "v"}})
	ctx, cancel := context.WithCancel(t.Context())
	local.fail = func(op, _ string) error {
		if op == "remove" {
			cancel()
		}
		return nil
	}
	if err := s.Remove(ctx, "v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if made := create(t, s, "v", CreateOptions{}); made.Existed || len(made.Labels) != 0 {
		t.Errorf("a ghost was left: %+v", made)
	}
}

func TestC11_18_FailingToForgetAStaleVolumeIsAnError(t *testing.T) {
	local, other := newFake("local"), newFake("other")
	s := open(t, filepath.Join(t.TempDir(), "metadata.db"), local, other)
	create(t, s, "v", CreateOptions{})
	delete(local.volumes, "v")
	if err := s.meta.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Create(t.Context(), "v", CreateOptions{Driver: "other"})
	want(t, err, OpCreate)
	if other.called("create") != 0 {
		t.Error("the volume was created although the stale one is still recorded")
	}
}
