package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

func importJob(ctx context.Context, s *strata.Store, _ int) error {
	_, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "new", Parent: "shared", BigData: []layer.Datum{{Key: "k", Data: []byte("v")}}}, bytes.NewReader(testTar("x")))
	return err
}

func createImageJob(ctx context.Context, s *strata.Store, _ int) error {
	_, err := s.CreateImage(ctx, image.CreateOptions{
		ID: "new", TopLayer: "shared", Names: []string{"new:1"}, Metadata: "{}",
		BigData: []image.BigDatum{{Key: "sha256:c", Data: []byte("config")}, {Key: "manifest", Data: []byte("m")}},
	})
	return err
}

func createContainerJob(ctx context.Context, s *strata.Store, _ int) error {
	_, err := s.CreateContainer(ctx, strata.ContainerOptions{ID: "new", Image: "shared", BigData: []container.BigDatum{{Key: "k", Data: []byte("v")}}})
	return err
}

func deleteImageJob(ctx context.Context, s *strata.Store, _ int) error {
	_, err := s.DeleteImage(ctx, "new", strata.DeleteImageOptions{})
	return err
}

func deleteContainerJob(ctx context.Context, s *strata.Store, _ int) error {
	return s.DeleteContainer(ctx, "new")
}

func setDataJob(ctx context.Context, s *strata.Store, _ int) error {
	return s.SetBigData(ctx, strata.KindImage, "new", "extra", []byte("e"))
}

// points are the steps at which a job is killed or fails, each time that it is
// passed.
var points = []string{
	"atomicfile.create", "atomicfile.write", "atomicfile.sync", "atomicfile.rename", "atomicfile.syncdir",
	"recordfile.token", "bigdata.put", "bigdata.adopt", "bigdata.trash",
}

// interrupted are the jobs, the jobs that come before, what holds when the job is
// done, and its error when the interruption came after it was.
var interrupted = []struct {
	job    string
	before []string
	done   func(t *testing.T, s *storetest.Store)
	late   error
}{
	{"import", nil, hasLayer, layer.ErrDuplicateID},
	{"create-image", nil, hasImage, image.ErrDuplicateID},
	{"create-container", nil, hasContainer, container.ErrDuplicateID},
	{"delete-image", []string{"create-image"}, noImage, strata.ErrNotAnImage},
	{"delete-container", []string{"create-container"}, noContainer, strata.ErrNotAContainer},
	{"set-data", []string{"create-image"}, hasData, nil},
}

func hasLayer(t *testing.T, s *storetest.Store) {
	t.Helper()
	if !bytes.Equal(diff(t, s, "new", ""), testTar("x")) {
		t.Error("the layer's diff has other bytes")
	}
	data, err := s.BigData(t.Context(), strata.KindLayer, "new", "k")
	if err != nil || string(data) != "v" {
		t.Errorf("layer's item %q, %v", data, err)
	}
}

func hasImage(t *testing.T, s *storetest.Store) {
	t.Helper()
	i, err := s.Image(t.Context(), "new:1")
	must(t, err)
	wantEqual(t, "items", []string{"sha256:c", "manifest"}, i.BigDataNames)
}

func hasContainer(t *testing.T, s *storetest.Store) {
	t.Helper()
	must(t, errOf(s.Mount(t.Context(), "new", strata.MountOptions{})))
	must(t, errOf(s.Unmount(t.Context(), "new", strata.UnmountOptions{})))
}

func noImage(t *testing.T, s *storetest.Store) {
	t.Helper()
	wantIDs(t, s, []string{"shared"}, []string{"shared"}, nil)
}

func noContainer(t *testing.T, s *storetest.Store) {
	t.Helper()
	if _, _, containers := ids(t, s); len(containers) != 0 {
		t.Errorf("containers %v", containers)
	}
}

func hasData(t *testing.T, s *storetest.Store) {
	t.Helper()
	data, err := s.BigData(t.Context(), strata.KindImage, "new", "extra")
	if err != nil || string(data) != "e" {
		t.Errorf("item %q, %v", data, err)
	}
}

// TestKilled kills another process at every step of a job. Whatever the step, the
// store opens, every image is complete, and the job can be done again.
func TestKilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Tolerate() // a killed process may leave files that nothing refers to
		shared(t, s)
		for _, job := range interrupted {
			for _, point := range points {
				kills := 0
				for skip := 0; ; skip++ {
					reset(t, s, job.before)
					if !waitChild(t, startChild(t, s.Options, childJob{Job: job.job, Point: point, Skip: skip})) {
						break
					}
					kills++
					afterInterruption(t, s, fmt.Sprintf("%s killed at %s after %d", job.job, point, skip))
					err := jobs[job.job](t.Context(), s.Store, 0)
					if err != nil && (job.late == nil || !errors.Is(err, job.late)) {
						t.Fatalf("%s again after a kill at %s after %d: %v", job.job, point, skip, err)
					}
					job.done(t, s)
				}
				t.Logf("%s: %d kills at %s", job.job, kills, point)
			}
		}
	})
}

// TestFailing lets every step fail once, in process: the call fails with the
// step's error and the store is as before, or as after.
func TestFailing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		shared(t, s)
		broken := errors.New("no space left, says the test")
		for _, job := range interrupted {
			for _, point := range points {
				for skip := 0; ; skip++ {
					reset(t, s, job.before)
					disable := faults.Enable(faults.Rule{Point: point, Under: s.GraphRoot(), Skip: skip, Times: 1, Err: broken})
					err := jobs[job.job](t.Context(), s.Store, 0)
					disable()
					if err == nil {
						break
					}
					what := fmt.Sprintf("%s failing at %s after %d (%v)", job.job, point, skip, err)
					if !errors.Is(err, broken) {
						t.Fatalf("%s: %v", what, err)
					}
					afterInterruption(t, s, what)
					if t.Failed() {
						t.FailNow()
					}
				}
			}
		}
		reset(t, s, nil)
	})
}

// reset brings the store to the state before a job, with a new process' eyes.
func reset(t *testing.T, s *storetest.Store, before []string) {
	t.Helper()
	ctx := t.Context()
	if err := s.DeleteContainer(ctx, "new"); err != nil && !errors.Is(err, strata.ErrNotAContainer) {
		t.Fatal(err)
	}
	if _, err := s.DeleteImage(ctx, "new", strata.DeleteImageOptions{}); err != nil && !errors.Is(err, strata.ErrNotAnImage) {
		t.Fatal(err)
	}
	layers, images, _ := ids(t, s)
	for _, id := range layers {
		if id != "shared" {
			must(t, s.DeleteLayer(ctx, id))
		}
	}
	if !slices.Contains(layers, "shared") || !slices.Contains(images, "shared") {
		t.Fatalf("layers %v, images %v", layers, images)
	}
	for _, job := range before {
		must(t, jobs[job](ctx, s.Store, 0))
	}
}

// afterInterruption looks at what any reader would meet.
func afterInterruption(t *testing.T, s *storetest.Store, what string) {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, i := range snap.Images {
		for _, key := range i.BigDataNames {
			data, err := s.BigData(t.Context(), strata.KindImage, string(i.ID), key)
			want, _ := i.ItemDigest(key)
			if err != nil || testutil.Digest(data) != want {
				t.Errorf("%s: image %s: item %s: %v", what, i.ID, key, err)
			}
		}
		if i.ID == "new" && !slices.Contains(i.BigDataNames, "manifest") {
			t.Errorf("%s: half an image", what)
		}
	}
	for _, l := range snap.Layers {
		if l.Incomplete() {
			t.Errorf("%s: layer %s is flagged", what, l.ID)
		}
		r, err := s.Diff(t.Context(), string(l.ID), "", strata.DiffOptions{})
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			err = errors.Join(err, r.Close())
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, c := range snap.Containers {
		if _, err := s.Layer(t.Context(), string(c.Layer)); err != nil {
			t.Errorf("%s: container %s: %v", what, c.ID, err)
		}
	}
}
