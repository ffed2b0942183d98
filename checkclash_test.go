package strata_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
)

// newBroken is a store with an image "img1" of three layers, and a container "con1" of it.
func newBroken(t *testing.T) broken {
	t.Helper()
	s := storetest.New(t, "overlay")
	var ended []error
	layers, err := s.ImportStack(t.Context(), strata.StackOptions{}, stackOf(t, 3, &ended))
	must(t, err)
	b := broken{Store: s, t: t}
	for _, l := range layers {
		b.layers = append(b.layers, string(l.ID))
	}
	createImage(t, s, "img1", b.layers[2], "app:1")
	must(t, s.SetBigData(t.Context(), strata.KindImage, "img1", "item", []byte("data")))
	createContainer(t, s, "con1", "img1", "web")
	return b
}

func (b broken) records(kind string) string {
	return filepath.Join(b.GraphRoot(), "overlay-"+kind+"s", kind+"s.json")
}

// list changes a whole record file.
func (b broken) list(kind string, change func(list []map[string]any) []map[string]any) {
	b.t.Helper()
	var list []map[string]any
	must(b.t, json.Unmarshal([]byte(b.read(b.records(kind))), &list))
	data, err := json.Marshal(change(list))
	must(b.t, errors.Join(err, os.WriteFile(b.records(kind), data, 0o600)))
}

// twin adds another record with an ID, in front or at the end.
func (b broken) twin(kind, id string, front bool, change func(r map[string]any)) {
	b.t.Helper()
	b.list(kind, func(list []map[string]any) []map[string]any {
		for _, r := range list {
			if r["id"] != id {
				continue
			}
			twin := maps.Clone(r)
			change(twin)
			if front {
				return append([]map[string]any{twin}, list...)
			}
			return append(list, twin)
		}
		b.t.Fatalf("no %s %s", kind, id)
		return nil
	})
}

// TestClashes: records with one ID or one name are found, nothing is changed unasked, and
// what the disk proves is kept.
func TestClashes(t *testing.T) {
	rename := func(name string) func(map[string]any) {
		return func(r map[string]any) { r["names"] = []string{name} }
	}
	tests := []struct {
		name   string
		damage func(b broken)
		want   []string
	}{
		{"two equal layers", func(b broken) { b.twin("layer", b.layers[1], false, func(map[string]any) {}) }, []string{"clash layer"}},
		{"wrong layer in front", func(b broken) {
			b.twin("layer", b.layers[1], true, func(r map[string]any) { r["parent"] = "" })
		}, []string{"clash layer"}},
		{"wrong layer behind", func(b broken) {
			b.twin("layer", b.layers[2], false, func(r map[string]any) { r["parent"] = "" })
		}, []string{"clash layer"}},
		{"wrong image in front", func(b broken) {
			b.twin("image", "img1", true, func(r map[string]any) { r["layer"], r["names"] = "nowhere", nil })
		}, []string{"clash image"}},
		{"wrong container in front", func(b broken) {
			b.twin("container", "con1", true, func(r map[string]any) { r["layer"], r["names"] = b.layers[1], nil })
		}, []string{"clash container"}},
		{"two images with one name", func(b broken) {
			createImage(b.t, b.Store, "img2", b.layers[1], "other:1")
			b.record("image", "img2", rename("app:1"))
		}, []string{"clash image"}},
		{"two containers with one name", func(b broken) {
			createContainer(b.t, b.Store, "con2", "img1", "other")
			b.record("container", "con2", rename("web"))
		}, []string{"clash container"}},
		{"two layers with one name, and two with one ID", func(b broken) {
			b.record("layer", b.layers[0], rename("base"))
			b.record("layer", b.layers[1], rename("base"))
			b.twin("layer", b.layers[1], true, func(r map[string]any) { r["parent"], r["names"] = "", nil })
		}, []string{"clash layer"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			ctx := t.Context()
			tt.damage(b)
			again := b.Again(t)
			before := fingerprint(t, b.GraphRoot())
			report, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			if fingerprint(t, b.GraphRoot()) != before {
				t.Error("check changed something")
			}
			var got []string
			for _, f := range report.Findings {
				if f.Problem == strata.ProblemClash {
					got = append(got, f.Problem.String()+" "+f.Kind.String())
					if f.ID == "" || f.Reason == "" || f.Bytes == 0 || f.Repair == strata.RepairNone {
						t.Errorf("%+v", f)
					}
				}
			}
			wantEqual(t, "findings", tt.want, got)
			cures(t, again, report)
			c, err := again.Container(ctx, "web")
			must(t, err)
			l, err := again.Layer(ctx, string(c.Layer))
			must(t, err)
			wantEqual(t, "container's layer stands on", b.layers[2], string(l.Parent))
			for i, id := range b.layers[1:] {
				l, err := again.Layer(ctx, id)
				must(t, err)
				wantEqual(t, "parent", b.layers[i], string(l.Parent))
			}
			_, err = again.Image(ctx, "app:1")
			must(t, err)
			snap, err := again.Snapshot(ctx)
			must(t, err)
			mountAll(t, again, snap)
		})
	}
}

// cures repairs what a report has, and demands that nothing is found afterwards.
func cures(t *testing.T, s *storetest.Store, report *strata.CheckReport) {
	t.Helper()
	done, err := s.Repair(t.Context(), report, strata.RepairOptions{})
	must(t, err)
	for _, f := range done.Left {
		t.Errorf("left: %v: %v", f.Finding, f.Err)
	}
	after, err := s.Store.Check(t.Context(), strata.CheckOptions{})
	must(t, err)
	wantEqual(t, "findings", []string(nil), found(after.Findings))
}
