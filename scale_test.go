package strata_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// synthesise writes the records of n layers, in chains of ten, and an image for
// each chain, as other engines write them.
func synthesise(t testing.TB, opts strata.Options, n int) (someID string) {
	t.Helper()
	var layers, images bytes.Buffer
	var parent layer.ID
	for i := range n {
		if i%10 == 0 {
			parent = ""
		}
		id := layer.ImageLayerID(parent, layer.DiffID(fmt.Sprintf("sha256:%064x", i)))
		fmt.Fprintf(&layers, `%c{"id":%q,`, sep(i), id)
		if parent != "" {
			fmt.Fprintf(&layers, `"parent":%q,`, parent)
		}
		fmt.Fprintf(&layers, `"created":"2026-11-21T08:43:47.033380096Z","compressed-diff-digest":"sha256:%064x","compressed-size":314,`+
			`"diff-digest":"sha256:%064x","diff-size":10240,"compression":2,"uidset":[0,33],"gidset":[0,33,50]}`, i+n, i)
		parent = id
		if i%10 == 9 {
			fmt.Fprintf(&images, `%c{"id":"%064x","names":["localhost/i%d:1"],"layer":%q,"created":"2026-11-21T08:43:47Z"}`, sep(i/10), i, i, id)
			someID = string(id)
		}
	}
	for name, data := range map[string]*bytes.Buffer{"vfs-layers/layers.json": &layers, "vfs-images/images.json": &images} {
		path := filepath.Join(opts.GraphRoot, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, append(data.Bytes(), ']'), 0o600))
	}
	return someID
}

func sep(i int) byte {
	if i == 0 {
		return '['
	}
	return ','
}

func scaleOptions(t testing.TB) strata.Options {
	dir := t.TempDir()
	return strata.Options{GraphRoot: dir + "/graph", RunRoot: dir + "/run", Driver: "vfs"}
}

// TestTenThousandLayers holds the promise that a large store answers at once. The
// limit is on the process' own work, and leaves room for the race detector.
func TestTenThousandLayers(t *testing.T) {
	opts := scaleOptions(t)
	id := synthesise(t, opts, 10000)
	var s *strata.Store
	first := testutil.CPUTime(t, func() {
		var err error
		s, err = strata.Open(t.Context(), opts)
		must(t, err)
		l, err := s.Layer(t.Context(), id[:20])
		must(t, err)
		wantEqual(t, "layer", id, string(l.ID))
	})
	image := testutil.CPUTime(t, func() { must(t, errOf(s.Image(t.Context(), "localhost/i9:1"))) })
	t.Logf("open and one layer %v, one image %v", first, image)
	if first > 5*time.Second {
		t.Errorf("open and one layer took %v", first)
	}
	must(t, errOf(s.Shutdown(t.Context(), strata.ShutdownOptions{Force: true})))
}

func BenchmarkOpenTenThousandLayers(b *testing.B) {
	opts := scaleOptions(b)
	id := synthesise(b, opts, 10000)
	ctx := context.Background()
	for b.Loop() {
		s, err := strata.Open(ctx, opts)
		must(b, err)
		must(b, errOf(s.Layer(ctx, id)))
		must(b, s.Close(ctx))
	}
}

func BenchmarkSnapshotTenThousandLayers(b *testing.B) {
	opts := scaleOptions(b)
	synthesise(b, opts, 10000)
	ctx := context.Background()
	s, err := strata.Open(ctx, opts)
	must(b, err)
	for b.Loop() {
		must(b, errOf(s.Snapshot(ctx)))
	}
}
