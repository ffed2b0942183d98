package strata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// fixture unpacks a store that another engine wrote and opens it.
func fixture(t *testing.T, name string) *storetest.Store {
	t.Helper()
	opts := unpackFixture(t, name)
	return storetest.Open(t, opts)
}

func unpackFixture(t *testing.T, name string) strata.Options {
	t.Helper()
	testutil.RequireRoot(t)
	dir := t.TempDir()
	testutil.Unpack(t, filepath.Join("testdata", "stores", name+".tar.zst"), dir)
	dir = filepath.Join(dir, name)
	opts := strata.Options{GraphRoot: dir + "/graph", RunRoot: dir + "/run", Driver: "overlay"}
	switch name {
	case "plain-vfs":
		opts.Driver = "vfs"
	case "split-overlay":
		opts.ImageStore = dir + "/images"
	case "transient-overlay":
		opts.Transient = true
	}
	return opts
}

// expected is what the engine that wrote a fixture answered.
type expected struct {
	sections map[string]string
}

func readExpected(t *testing.T, s *storetest.Store) expected {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(s.GraphRoot()), "expected.txt"))
	must(t, err)
	e := expected{map[string]string{}}
	for _, part := range regexp.MustCompile(`(?m)^== `).Split(string(data), -1)[1:] {
		title, body, _ := strings.Cut(part, "\n")
		e.sections[title] = strings.TrimSpace(body)
	}
	return e
}

func TestFixtures(t *testing.T) {
	for _, name := range []string{"plain-overlay", "plain-vfs", "split-overlay", "transient-overlay"} {
		t.Run(name, func(t *testing.T) {
			s := fixture(t, name)
			want := readExpected(t, s)
			snap, err := s.Snapshot(t.Context())
			must(t, err)
			records := make([]layer.Record, len(snap.Layers))
			for i, l := range snap.Layers {
				records[i] = l.Record
			}
			for section, got := range map[string]any{"layers": records, "images": snap.Images, "containers": snap.Containers} {
				text, err := json.Marshal(got)
				must(t, err)
				wantEqual(t, section, want.sections[section], string(text))
			}
			wantEqual(t, "diffs", stable(name, want.sections["diffs (sha256 of diff -u)"]), stable(name, digests(t, s, snap.Layers)))
			if text, ok := want.sections["changes of c-changed"]; ok {
				changes, err := s.Changes(t.Context(), "c-changed", "")
				must(t, err)
				wantEqual(t, "changes", text, changeText(changes))
			}
			mountAll(t, s, snap)
			deleteAll(t, s)
		})
	}
}

// stable leaves out the one diff with deletions on vfs: the engines give a deleted
// name the time of the diff.
func stable(name, digests string) string {
	if name != "plain-vfs" {
		return digests
	}
	const changed = "44541a677e7683d3448073fbf24a5f4e2c758630654dffb4317071b77d87fe4e "
	lines := slices.DeleteFunc(strings.Split(digests, "\n"), func(l string) bool { return strings.HasPrefix(l, changed) })
	return strings.Join(lines, "\n")
}

func digests(t *testing.T, s *storetest.Store, layers []layer.Layer) string {
	t.Helper()
	var out []string
	for _, l := range layers {
		out = append(out, fmt.Sprintf("%s %s", l.ID, testutil.Digest(diff(t, s, string(l.ID), "")).Encoded()))
	}
	return strings.Join(out, "\n")
}

func changeText(changes []archive.Change) string {
	verbs := map[archive.ChangeKind]string{archive.Modified: "Modify", archive.Added: "Add", archive.Deleted: "Delete"}
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %q", verbs[c.Kind], c.Path))
	}
	return strings.Join(out, "\n")
}

// mountAll mounts every container and image.
func mountAll(t *testing.T, s *storetest.Store, snap *strata.Snapshot) {
	t.Helper()
	for _, c := range snap.Containers {
		root, err := s.Mount(t.Context(), string(c.ID), strata.MountOptions{})
		must(t, err)
		info, err := os.Stat(root)
		if err != nil || !info.IsDir() {
			t.Errorf("container %s at %s: %v", c.Names, root, err)
		}
		must(t, errOf(s.Unmount(t.Context(), string(c.ID), strata.UnmountOptions{})))
		must(t, errOf(s.ContainerSize(t.Context(), string(c.ID))))
	}
	for _, i := range snap.Images {
		must(t, errOf(s.MountImage(t.Context(), string(i.ID), strata.MountOptions{})))
		must(t, errOf(s.Unmount(t.Context(), string(i.ID), strata.UnmountOptions{})))
		must(t, errOf(s.ImageSize(t.Context(), string(i.ID))))
	}
}

// deleteAll removes one object after the other, with all checks.
func deleteAll(t *testing.T, s *storetest.Store) {
	t.Helper()
	ctx := t.Context()
	_, images, containers := ids(t, s)
	for _, c := range containers {
		must(t, s.DeleteContainer(ctx, c))
	}
	for _, i := range images {
		must(t, errOf(s.DeleteImage(ctx, i, strata.DeleteImageOptions{})))
	}
	layers, _, _ := ids(t, s)
	for i := len(layers) - 1; i >= 0; i-- {
		must(t, s.DeleteLayer(ctx, layers[i]))
	}
	wantIDs(t, s, nil, nil, nil)
}

// TestFixtureSaveKeepsOthersBytes changes a store and takes the change back: the
// records that nobody changed are what stood in the files, byte for byte.
func TestFixtureSaveKeepsOthersBytes(t *testing.T) {
	s := fixture(t, "plain-vfs")
	path := filepath.Join(s.GraphRoot(), "vfs-containers", "containers.json")
	volatilePath := filepath.Join(s.GraphRoot(), "vfs-containers", "volatile-containers.json")
	before, err := os.ReadFile(path)
	must(t, err)
	volatileBefore, err := os.ReadFile(volatilePath)
	must(t, err)
	createContainer(t, s, "new", "localhost/fixture:1")
	must(t, s.DeleteContainer(t.Context(), "new"))
	must(t, errOf(s.AddNames(t.Context(), "c-volatile", []string{"v2"})))
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Errorf("containers.json changed from\n%s\nto\n%s", before, after)
	}
	volatileAfter, err := os.ReadFile(volatilePath)
	must(t, err)
	wantEqual(t, "volatile record", strings.Replace(string(volatileBefore), `["c-volatile"]`, `["v2","c-volatile"]`, 1), string(volatileAfter))
}

// TestDamagedFixtures: what the damage does not touch stays readable, and what is
// damaged can go.
func TestDamagedFixtures(t *testing.T) {
	const img, plain = "localhost/fixture:1", "c-plain"
	t.Run("container without layer", func(t *testing.T) {
		s := fixture(t, "damaged-container-without-layer")
		s.Damaged()
		snap, err := s.Snapshot(t.Context())
		must(t, err)
		deleted := 0
		for _, c := range snap.Containers {
			if _, err := s.Layer(t.Context(), string(c.Layer)); errors.Is(err, layer.ErrUnknown) {
				must(t, s.DeleteContainer(t.Context(), string(c.ID)))
				deleted++
			}
		}
		if deleted != 1 {
			t.Errorf("%d containers without a layer", deleted)
		}
	})
	t.Run("zero layers", func(t *testing.T) {
		opts := unpackFixture(t, "damaged-zero-layers")
		s, err := strata.Open(t.Context(), opts)
		must(t, err)
		for what, err := range map[string]error{
			"list":           errOf(s.Layers(t.Context())),
			"create":         errOf(s.CreateLayer(t.Context(), strata.LayerOptions{})),
			"shut down":      errOf(s.Shutdown(t.Context(), strata.ShutdownOptions{})),
			"force shutdown": errOf(s.Shutdown(t.Context(), strata.ShutdownOptions{Force: true})),
		} {
			if !errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("%s: %v, want ErrCorrupt", what, err)
			}
		}
		data, err := os.ReadFile(opts.GraphRoot + "/overlay-layers/layers.json")
		if err != nil || len(data) != 0 {
			t.Errorf("the damaged file was replaced by %q, %v", data, err)
		}
	})
	t.Run("torn images", func(t *testing.T) {
		opts := unpackFixture(t, "damaged-torn-images")
		s, err := strata.Open(t.Context(), opts)
		must(t, err)
		if _, err := s.Images(t.Context()); !errors.Is(err, errdefs.ErrCorrupt) || !strings.Contains(err.Error(), "images.json") {
			t.Errorf("error = %v, want ErrCorrupt", err)
		}
		all, err := s.Containers(t.Context())
		if err != nil || len(all) != 4 {
			t.Errorf("%d containers, %v", len(all), err)
		}
		must(t, errOf(s.Shutdown(t.Context(), strata.ShutdownOptions{Force: true})))
	})
	t.Run("flagged", func(t *testing.T) {
		s := fixture(t, "damaged-flagged")
		s.Damaged()
		all, err := s.Layers(t.Context())
		must(t, err)
		for _, l := range all {
			if l.Incomplete() {
				t.Errorf("layer %s is flagged", l.ID)
			}
		}
		must(t, errOf(s.Mount(t.Context(), plain, strata.MountOptions{})))
	})
	t.Run("stale count", func(t *testing.T) {
		s := fixture(t, "damaged-stale-count")
		all, err := s.Containers(t.Context())
		must(t, err)
		for _, c := range all {
			if n, err := s.Mounted(t.Context(), string(c.ID)); err != nil || n != 0 {
				t.Errorf("container %s is mounted %d times, %v", c.Names, n, err)
			}
		}
	})
	t.Run("image without manifest", func(t *testing.T) {
		s := fixture(t, "damaged-image-without-manifest")
		images, err := s.Images(t.Context())
		must(t, err)
		if len(images) == 0 {
			t.Fatal("no images")
		}
		must(t, errOf(s.ImageSize(t.Context(), string(images[0].ID))))
	})
	t.Run("no links", func(t *testing.T) {
		s := fixture(t, "damaged-no-links")
		must(t, errOf(s.Mount(t.Context(), plain, strata.MountOptions{})))
		must(t, errOf(s.Unmount(t.Context(), plain, strata.UnmountOptions{})))
		must(t, errOf(s.MountImage(t.Context(), img, strata.MountOptions{})))
		must(t, errOf(s.Unmount(t.Context(), img, strata.UnmountOptions{})))
	})
}
