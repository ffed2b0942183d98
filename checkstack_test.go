package strata_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// configured adds an image as engines store it: with a configuration whose digest is its ID.
func (b broken) configured() (id string) {
	b.t.Helper()
	return b.configuredAs(b.diffs())
}

// configuredAs adds one whose configuration names other layers.
func (b broken) configuredAs(diffs []string) (id string) {
	b.t.Helper()
	config := map[string]any{"os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffs}}
	data, err := json.Marshal(config)
	must(b.t, err)
	d := digest.FromBytes(data)
	_, err = b.CreateImage(b.t.Context(), image.CreateOptions{
		ID: image.ID(d.Encoded()), TopLayer: b.layers[2], Names: []string{"configured:1"},
		BigData: []image.BigDatum{{Key: d.String(), Data: data}, {Key: "manifest", Data: []byte(`{"schemaVersion":2}`)}},
	})
	must(b.t, err)
	return d.Encoded()
}

func (b broken) diffs() (diffs []string) {
	for _, id := range b.layers {
		l, err := b.Layer(b.t.Context(), id)
		must(b.t, err)
		diffs = append(diffs, string(l.DiffID))
	}
	return diffs
}

// TestOtherLayers: an image whose layers are others than its configuration says is found also
// when the right ones are nowhere; what may be right is not.
func TestOtherLayers(t *testing.T) {
	none := digest.FromString("nowhere").String()
	tests := []struct {
		name   string
		diffs  func(diffs []string) []string
		damage func(b broken)
		want   []string
	}{
		{"the right ones", func(d []string) []string { return d }, nil, nil},
		{"another one", func(d []string) []string { return []string{d[0], none, d[2]} }, nil, []string{"layer-wrong image"}},
		{"too few", func(d []string) []string { return append(d, none) }, nil, []string{"layer-wrong image"}},
		{"too many", func(d []string) []string { return []string{d[0], none} }, nil, []string{"layer-wrong image"}},
		{"no digest, but of a table of contents", func(d []string) []string { return []string{d[0], none, d[2]} }, func(b broken) {
			b.record("layer", b.layers[1], func(r map[string]any) {
				delete(r, "diff-digest")
				delete(r, "diff-size")
				r["toc-digest"] = none
			})
		}, nil},
		{"a digest of another kind", func(d []string) []string { return []string{d[0], "sha512:" + strings.Repeat("ab", 64), d[2]} }, nil, nil},
		{"no list of layers", func([]string) []string { return nil }, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			id := b.configuredAs(tt.diffs(b.diffs()))
			if tt.damage != nil {
				tt.damage(b)
			}
			s := b.Again(t)
			report, err := s.Store.Check(t.Context(), strata.CheckOptions{Quick: true})
			must(t, err)
			var got []string
			for _, f := range report.Findings {
				got = append(got, f.Problem.String()+" "+f.Kind.String())
				if f.ID != id || f.Repair != strata.RepairReload || f.Layer == "" {
					t.Errorf("%+v", f)
				}
			}
			wantEqual(t, "findings", tt.want, got)
			done, err := s.Repair(t.Context(), report, strata.RepairOptions{Remove: true})
			must(t, err)
			wantEqual(t, "removed", len(tt.want), len(done.Removed))
		})
	}
}

// TestStackOfImage: what an image's configuration proves is recorded again.
func TestStackOfImage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b broken, id string)
		want   string
	}{
		{"top layer is another's", func(b broken, id string) {
			b.record("image", id, func(r map[string]any) { r["layer"] = b.layers[0] })
		}, "layer-wrong image"},
		{"top layer is not there", func(b broken, id string) {
			b.record("image", id, func(r map[string]any) { r["layer"] = "nowhere" })
		}, "layer-wrong image"},
		{"no top layer", func(b broken, id string) {
			b.record("image", id, func(r map[string]any) { delete(r, "layer") })
		}, "layer-wrong image"},
		{"no diff ID", func(b broken, _ string) {
			b.record("layer", b.layers[1], func(r map[string]any) { delete(r, "diff-digest"); delete(r, "diff-size") })
		}, "diff-id-missing layer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			ctx := t.Context()
			id := b.configured()
			diffs := b.diffs()
			report, err := b.Again(t).Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string(nil), found(report.Findings))
			tt.damage(b, id)
			again := b.Again(t)
			report, err = again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			if len(report.Findings) != 1 || report.Findings[0].Problem.String()+" "+report.Findings[0].Kind.String() != tt.want {
				t.Errorf("findings: %v", report.Findings)
			}
			cures(t, again, report)
			img, err := again.Image(ctx, id)
			must(t, err)
			wantEqual(t, "top layer", b.layers[2], string(img.TopLayer))
			wantEqual(t, "diff IDs", diffs, broken{Store: again, t: t, layers: b.layers}.diffs())
		})
	}
}

// TestHealWithoutDiffID: the right tar gives a layer its diff ID back, another one does not.
func TestHealWithoutDiffID(t *testing.T) {
	b := newBroken(t)
	want := b.diffs()
	tar := diff(t, b.Store, b.layers[1], b.layers[0])
	b.record("layer", b.layers[1], func(r map[string]any) { delete(r, "diff-digest"); delete(r, "diff-size") })
	again := b.Again(t)
	other := testutil.Tar(t, testutil.Entry{Name: "other", Body: "x"})
	if err := again.HealLayer(t.Context(), layer.ID(b.layers[1]), bytes.NewReader(other)); err == nil {
		t.Error("another tar was taken")
	}
	must(t, again.HealLayer(t.Context(), layer.ID(b.layers[1]), bytes.NewReader(tar)))
	wantEqual(t, "diff IDs", want, broken{Store: again, t: t, layers: b.layers}.diffs())
}

// TestLayerOfContainer: a container whose record names somebody else's layer gets its own back, or
// goes without that layer.
func TestLayerOfContainer(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b broken, own string)
		goes   bool
	}{
		{"an image's", func(b broken, _ string) {
			b.record("container", "con1", func(r map[string]any) { r["layer"] = b.layers[2] })
		}, false},
		{"another container's", func(b broken, _ string) {
			c := createContainer(b.t, b.Store, "con2", "img1")
			b.record("container", "con1", func(r map[string]any) { r["layer"] = string(c.Layer) })
		}, false},
		{"an image's, and its own is not there", func(b broken, own string) {
			b.record("container", "con1", func(r map[string]any) { r["layer"] = b.layers[2] })
			must(b.t, b.Again(b.t).DeleteLayer(b.t.Context(), own))
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			b.Damaged()
			ctx := t.Context()
			c, err := b.Container(ctx, "con1")
			must(t, err)
			tt.damage(b, string(c.Layer))
			again := b.Again(t)
			report, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string{"layer-wrong container con1"}, found(report.Findings))
			done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true})
			must(t, err)
			for _, f := range done.Left {
				t.Errorf("left: %v: %v", f.Finding, f.Err)
			}
			after, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", []string(nil), found(after.Findings))
			_, err = again.Layer(ctx, b.layers[2])
			must(t, err)
			now, err := again.Container(ctx, "con1")
			if tt.goes != (err != nil) || !tt.goes && now.Layer != c.Layer {
				t.Errorf("container: %v, %v", now, err)
			}
		})
	}
}

// TestLostNamesOfData: data items that the record of an image has lost are recorded again; what is
// not the image's is not.
func TestLostNamesOfData(t *testing.T) {
	tests := []struct {
		name   string
		damage func(b broken, r map[string]any)
		left   int
	}{
		{"names", func(_ broken, r map[string]any) { delete(r, "big-data-names") }, 0},
		{"names, sizes and digests", func(_ broken, r map[string]any) {
			delete(r, "big-data-names")
			delete(r, "big-data-sizes")
			delete(r, "big-data-digests")
		}, 0},
		{"names, and another manifest", func(b broken, r map[string]any) {
			delete(r, "big-data-names")
			path := filepath.Join(b.GraphRoot(), "overlay-images", r["id"].(string), "manifest")
			must(b.t, os.WriteFile(path, []byte(`{"schemaVersion":2,"x":1}`), 0o600))
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBroken(t)
			b.Damaged()
			ctx := t.Context()
			id := b.configured()
			before, err := b.Image(ctx, id)
			must(t, err)
			b.record("image", id, func(r map[string]any) { tt.damage(b, r) })
			again := b.Again(t)
			again.Damaged()
			again.Tolerate()
			report, err := again.Store.Check(ctx, strata.CheckOptions{})
			must(t, err)
			for _, f := range report.Findings {
				if f.Problem != strata.ProblemDataUnrecorded || f.Bytes == 0 {
					t.Errorf("%+v", f)
				}
			}
			wantEqual(t, "findings", 2, len(report.Findings))
			done, err := again.Repair(ctx, report, strata.RepairOptions{Remove: true})
			must(t, err)
			wantEqual(t, "left", tt.left, len(done.Left))
			if len(done.Removed) > 0 || done.Trash != "" {
				t.Errorf("removed: %+v", done)
			}
			after, err := again.Image(ctx, id)
			must(t, err)
			if tt.left == 0 {
				wantEqual(t, "items", sorted(before.BigDataNames), sorted(after.BigDataNames))
				wantEqual(t, "sizes", before.BigDataSizes, after.BigDataSizes)
				wantEqual(t, "digests", before.BigDataDigests, after.BigDataDigests)
				return
			}
			_, err = again.DeleteImage(ctx, id, strata.DeleteImageOptions{})
			must(t, err)
		})
	}
}
