package strata_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// registered registers a layer with one file.
func registered(t testing.TB, s *storetest.Store, parent layer.ChainID, name string) *layer.Ref {
	t.Helper()
	r, err := s.Substores().Chains.Register(t.Context(), bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: name, Body: name})), parent)
	must(t, err)
	return r
}

func layerIDs(t testing.TB, s *storetest.Store) []string {
	t.Helper()
	layers, _, _ := ids(t, s)
	return layers
}

func released(t testing.TB, s *storetest.Store, r *layer.Ref, want ...layer.ChainID) {
	t.Helper()
	removed, err := s.Substores().Chains.Release(t.Context(), r)
	must(t, err)
	var got []layer.ChainID
	for _, l := range removed {
		got = append(got, l.ChainID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("removed %v, want %v", got, want)
	}
}

func TestLeasedLayersAreNotDeleted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		r := registered(t, s, "", "f")
		id := string(r.CacheID())
		other := s.Again(t) // as another process
		err := other.DeleteLayer(ctx, id)
		var leased *layer.LeasedError
		if !errors.As(err, &leased) || leased.PID != os.Getpid() || !errors.Is(err, errdefs.ErrInUse) || errdefs.Hint(err) == "" {
			t.Errorf("delete: %v", err)
		}
		finding := strata.Finding{Kind: strata.KindLayer, ID: id, Problem: strata.ProblemContentDigest, Repair: strata.RepairRemoveLayer}
		report, err := other.Repair(ctx, &strata.CheckReport{Findings: []strata.Finding{finding}}, strata.RepairOptions{Remove: true})
		must(t, err)
		if len(report.Left) != 1 || !errors.Is(report.Left[0].Err, layer.ErrLeased) || report.Trash != "" {
			t.Errorf("repair: %+v", report)
		}
		gc, err := other.GC(ctx, strata.GCOptions{})
		must(t, err)
		if len(gc.Removed) != 0 || len(layerIDs(t, s)) != 1 {
			t.Errorf("collected %v", gc.Removed)
		}
		released(t, s, r, r.ChainID())
	})
}

func TestImagesLeaveLeasedLayersBehind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "low", "", testutil.Entry{Name: "a", Body: "a"})
		importLayer(t, s, "mid", "low", testutil.Entry{Name: "b", Body: "b"})
		importLayer(t, s, "top", "mid", testutil.Entry{Name: "c", Body: "c"})
		createImage(t, s, "img", "top")
		mid, err := s.Layer(ctx, "mid")
		must(t, err)
		r, err := s.Substores().Chains.Get(ctx, mid.Chain)
		must(t, err)
		other := s.Again(t)
		dry, err := other.DeleteImage(ctx, "img", strata.DeleteImageOptions{DryRun: true})
		must(t, err)
		removed, err := other.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		if !slices.Equal(removed, []layer.ID{"top"}) || !slices.Equal(dry, removed) {
			t.Errorf("removed %v, would remove %v", removed, dry)
		}
		released(t, s, r, mid.Chain, r.Parent().ChainID())
		if left := layerIDs(t, s); len(left) != 0 {
			t.Errorf("layers %v", left)
		}
	})
}

// What only registered layers stand on when its image goes, goes with those.
func TestImagesLeaveTheGroundOfRegisteredLayersBehind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		chains := s.Substores().Chains
		importLayer(t, s, "low", "", testutil.Entry{Name: "a", Body: "a"})
		importLayer(t, s, "mid", "low", testutil.Entry{Name: "b", Body: "b"})
		importLayer(t, s, "top", "mid", testutil.Entry{Name: "c", Body: "c"})
		createImage(t, s, "img", "top")
		createImage(t, s, "other", "low")
		mid, err := s.Layer(ctx, "mid")
		must(t, err)
		r := registered(t, s, mid.Chain, "r")
		m, err := chains.CreateRWLayer(ctx, "m", mid.Chain, layer.RWOptions{})
		must(t, err)
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		if !slices.Equal(removed, []layer.ID{"top"}) {
			t.Errorf("removed %v", removed)
		}
		released(t, s, r, r.ChainID())
		gone, err := chains.ReleaseRWLayer(ctx, m)
		must(t, err)
		if len(gone) != 1 || gone[0].ChainID != mid.Chain {
			t.Errorf("removed with the read-write layer: %v", gone)
		}
		if left := layerIDs(t, s); !slices.Equal(left, []string{"low"}) {
			t.Errorf("layers %v", left) // the other image has it
		}
	})
}

func TestImagesKeepRegisteredLayers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		a := registered(t, s, "", "a")
		b := registered(t, s, a.ChainID(), "b")
		createImage(t, s, "img", string(b.CacheID()))
		released(t, s, b)
		released(t, s, a)
		gc, err := s.GC(ctx, strata.GCOptions{})
		must(t, err)
		if len(gc.Removed) != 0 {
			t.Errorf("collected %v", gc.Removed)
		}
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		if len(removed) != 2 {
			t.Errorf("removed %v", removed)
		}
	})
}

// A build that ended, or was killed, without giving back leaves nothing for good.
func TestGCCollectsWhatNobodyHolds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		cmd := exec.Command(os.Args[0], "-test.run=^TestChildRegisters$", "-test.v")
		cmd.Env = append(os.Environ(), registerEnv+"="+strings.Join([]string{s.GraphRoot(), s.RunRoot(), s.DriverName()}, "\n"))
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("child: %v\n%s", err, out)
		}
		dry, err := s.GC(ctx, strata.GCOptions{DryRun: true})
		must(t, err)
		young, err := s.GC(ctx, strata.GCOptions{OlderThan: 1 << 50})
		must(t, err)
		if len(young.Removed) != 0 || len(layerIDs(t, s)) != 2 {
			t.Errorf("collected young ones: %v", young.Removed)
		}
		report, err := s.GC(ctx, strata.GCOptions{})
		must(t, err)
		for _, r := range []*strata.GCReport{dry, report} {
			if len(r.Removed) != 2 || r.Removed[0].Kind != strata.KindLayer || r.Removed[0].Path == "" || r.Bytes == 0 {
				t.Errorf("report %+v", r)
			}
		}
		if left := layerIDs(t, s); len(left) != 0 {
			t.Errorf("layers %v", left)
		}
	})
}

const registerEnv = "STRATA_TEST_REGISTER"

// TestChildRegisters registers two layers and dies.
func TestChildRegisters(t *testing.T) {
	env := os.Getenv(registerEnv)
	if env == "" {
		t.Skip("only runs in other processes")
	}
	roots := strings.Split(env, "\n")
	s, err := strata.Open(context.Background(), strata.Options{GraphRoot: roots[0], RunRoot: roots[1], Driver: roots[2]})
	must(t, err)
	inner := &storetest.Store{Store: s}
	a := registered(t, inner, "", "a")
	registered(t, inner, a.ChainID(), "b")
	self, err := os.FindProcess(os.Getpid())
	must(t, err)
	must(t, self.Kill())
	select {}
}

// Named read-write layers and what a process works on are not unreferenced.
func TestCheckKnowsWhatIsHeld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		base, leased, free := registered(t, s, "", "base"), registered(t, s, "", "leased"), registered(t, s, "", "free")
		m, err := s.Substores().Chains.CreateRWLayer(ctx, "m", base.ChainID(), layer.RWOptions{Init: func(context.Context, string) error { return nil }})
		must(t, err)
		unreferenced := func() (found []string) {
			report, err := s.Store.Check(ctx, strata.CheckOptions{UnreferencedAfter: 1})
			must(t, err)
			for _, f := range report.Findings {
				found = append(found, f.Problem.String()+" "+f.ID)
			}
			return sorted(found)
		}
		if found := unreferenced(); len(found) != 0 {
			t.Errorf("while all is held: %v", found)
		}
		must(t, s.Substores().Chains.Close())
		want := sorted([]string{"unreferenced " + string(leased.CacheID()), "unreferenced " + string(free.CacheID())})
		if found := unreferenced(); !slices.Equal(found, want) {
			t.Errorf("found %v, want %v and nothing of %s", found, want, m.MountID())
		}
	})
}

func TestCloseEndsLeases(t *testing.T) {
	s := storetest.New(t, "vfs")
	other, err := strata.Open(t.Context(), s.Options)
	must(t, err)
	r := registered(t, &storetest.Store{Store: other}, "", "a")
	must(t, other.Close(t.Context()))
	must(t, s.DeleteLayer(t.Context(), string(r.CacheID())))
}
