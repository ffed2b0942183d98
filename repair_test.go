package strata_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// TestRepairFixtures: after a repair nothing is found any more, and what was sound is
// as it was.
func TestRepairFixtures(t *testing.T) {
	tests := []struct {
		name    string
		removes bool // needs more than mending
	}{
		{"damaged-container-without-layer", true},
		{"damaged-empty-link", false},
		{"damaged-empty-lower", false},
		{"damaged-flagged", false},
		{"damaged-no-links", false},
		{"damaged-orphans", false},
		{"damaged-stale-count", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := fixture(t, tt.name)
			ctx := t.Context()
			report, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			if tt.removes {
				careful, err := s.Repair(ctx, report, strata.RepairOptions{})
				must(t, err)
				if len(careful.Left) == 0 {
					t.Error("something was removed unasked")
				}
			}
			done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: tt.removes, Containers: tt.removes})
			must(t, err)
			for _, f := range done.Left {
				t.Errorf("left: %v: %v", f.Finding, f.Err)
			}
			after, err := s.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string(nil), found(after.Findings))
			for _, i := range after.EngineGroups() {
				t.Errorf("%s %v", i.Heading(), i.Problems)
			}
			if tt.name == "damaged-orphans" {
				kept, err := filepath.Glob(done.Trash + "/leftovers/*/*")
				must(t, err)
				wantEqual(t, "in the trash", 4, len(kept))
			}
			snap, err := s.Snapshot(ctx)
			must(t, err)
			mountAll(t, s, snap)
		})
	}
}

// TestRepairRemoves: a damaged layer goes with the image on it, into the trash; an
// image beside it stays.
func TestRepairRemoves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "base", "", testutil.Entry{Name: "f", Body: "base"})
		importLayer(t, s, "bad", "base", testutil.Entry{Name: "g", Body: "bad"})
		importLayer(t, s, "good", "base", testutil.Entry{Name: "g", Body: "good"})
		createImage(t, s, "img1", "bad", "app:bad")
		createImage(t, s, "img2", "good", "app:good")
		must(t, os.WriteFile(tamper(t, s, "bad")+"/g", []byte("BAD"), 0))
		report, err := s.Store.Check(ctx, strata.CheckOptions{})
		must(t, err)
		wantEqual(t, "findings", []string{"content-digest layer bad"}, found(report.Findings))

		left, err := s.Repair(ctx, report, strata.RepairOptions{})
		must(t, err)
		if len(left.Left) != 1 || !errors.Is(left.Left[0].Err, errdefs.ErrUnsupported) || left.Trash != "" {
			t.Errorf("%+v", left)
		}
		c := createContainer(t, s, "con1", "img1")
		held, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
		must(t, err)
		if len(held.Left) != 1 || !strings.Contains(held.Left[0].Err.Error(), "deleting image img1: image used by con1") {
			t.Errorf("with a container: %+v", held)
		}
		must(t, s.DeleteContainer(ctx, string(c.ID)))
		done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
		must(t, err)
		wantEqual(t, "cured", []string{"content-digest layer bad"}, found(done.Cured))
		wantEqual(t, "removed", []strata.Object{
			{Kind: strata.KindImage, ID: "img1", Names: []string{"app:bad"}}, {Kind: strata.KindLayer, ID: "bad"},
		}, done.Removed)
		wantIDs(t, s, []string{"base", "good"}, []string{"img2"}, nil)
		data, err := os.ReadFile(done.Trash + "/image-img1/record.json")
		if err != nil || !strings.Contains(string(data), "app:bad") {
			t.Errorf("kept record: %s, %v", data, err)
		}
		matches, err := filepath.Glob(done.Trash + "/image-img1/content/bad*")
		must(t, err)
		wantEqual(t, "kept content", 2, len(matches))
	})
}

// TestRepairOfWhatWent: a finding about a container that was deleted meanwhile is cured.
func TestRepairOfWhatWent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		shared(t, s)
		createContainer(t, s, "con", "shared")
		must(t, s.SetBigData(ctx, strata.KindContainer, "con", "item", []byte("data")))
		must(t, os.WriteFile(filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "con", "item"), []byte("changed"), 0o600))
		report, err := s.Store.Check(ctx, strata.CheckOptions{})
		must(t, err)
		must(t, s.DeleteContainer(ctx, "con"))
		done, err := s.Repair(ctx, report, strata.RepairOptions{})
		must(t, err)
		wantEqual(t, "cured", []string{"data-size container con"}, found(done.Cured))
	})
}

// TestRepairItems: a container's item is recorded as it is.
func TestRepairItems(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "base", "", testutil.Entry{Name: "f", Body: "base"})
		createImage(t, s, "img1", "base")
		createContainer(t, s, "con1", "img1")
		must(t, s.SetBigData(ctx, strata.KindContainer, "con1", "item", []byte("data")))
		must(t, os.WriteFile(filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "con1", "item"), []byte("changed"), 0o600))
		report, err := s.Store.Check(ctx, strata.CheckOptions{Quick: true})
		must(t, err)
		wantEqual(t, "findings", []string{"data-size container con1"}, found(report.Findings))
		must(t, errOf(s.Repair(ctx, report, strata.RepairOptions{})))
		after, err := s.Store.Check(ctx, strata.CheckOptions{})
		must(t, err)
		wantEqual(t, "findings", []string(nil), found(after.Findings))
	})
}

// TestRepairRecords: a torn record file goes back to its last good version.
func TestRepairRecords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "one", "", testutil.Entry{Name: "f", Body: "one"})
		createImage(t, s, "img1", "one")
		createImage(t, s, "img2", "one")
		path := filepath.Join(s.GraphRoot(), s.DriverName()+"-images", "images.json")
		torn := []byte(`[{"id":"img1","na`)
		must(t, os.WriteFile(path, torn, 0o600))
		report, err := s.Store.Check(ctx, strata.CheckOptions{})
		must(t, err)
		wantEqual(t, "findings", []string{"records-damaged image "}, found(report.Findings))
		unasked, err := s.Repair(ctx, report, strata.RepairOptions{})
		must(t, err)
		wantEqual(t, "left unasked", 1, len(unasked.Left))
		done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true})
		must(t, err)
		for _, f := range done.Left {
			t.Errorf("left: %v: %v", f.Finding, f.Err)
		}
		kept, err := os.ReadFile(done.Trash + "/records-image/record.json")
		must(t, err)
		wantEqual(t, "kept", string(torn), string(kept))
		images, err := s.Again(t).Images(ctx)
		must(t, err)
		wantEqual(t, "images", 1, len(images)) // the version before the last
	})
}
