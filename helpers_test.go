package strata_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func createLayer(t testing.TB, s *storetest.Store, id, parent string, names ...string) layer.Layer {
	t.Helper()
	l, err := s.CreateLayer(t.Context(), strata.LayerOptions{ID: layer.ID(id), Parent: parent, Names: names})
	must(t, err)
	return l
}

func importLayer(t testing.TB, s *storetest.Store, id, parent string, entries ...testutil.Entry) layer.Layer {
	t.Helper()
	l, err := s.ImportLayer(t.Context(), strata.LayerOptions{ID: layer.ID(id), Parent: parent}, bytes.NewReader(testutil.Tar(t, entries...)))
	must(t, err)
	return l
}

func createImage(t testing.TB, s *storetest.Store, id, top string, names ...string) image.Image {
	t.Helper()
	i, err := s.CreateImage(t.Context(), image.CreateOptions{ID: image.ID(id), TopLayer: top, Names: names})
	must(t, err)
	return i
}

func createContainer(t testing.TB, s *storetest.Store, id, img string, names ...string) container.Container {
	t.Helper()
	c, err := s.CreateContainer(t.Context(), strata.ContainerOptions{ID: container.ID(id), Image: img, Names: names})
	must(t, err)
	return c
}

// write makes a file in the mounted tree of a container or layer.
func write(t testing.TB, s *storetest.Store, nameOrID, path, content string) {
	t.Helper()
	root, err := s.Mount(t.Context(), nameOrID, strata.MountOptions{})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, path), []byte(content), 0o644))
	_, err = s.Unmount(t.Context(), nameOrID, strata.UnmountOptions{})
	must(t, err)
}

// diff reads a whole uncompressed diff.
func diff(t testing.TB, s *storetest.Store, to, from string) []byte {
	t.Helper()
	r, err := s.Diff(t.Context(), to, from, strata.DiffOptions{Compression: strata.CompressionNone})
	must(t, err)
	data, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	return data
}

// tarEntries lists the headers of a tar.
func tarEntries(t testing.TB, data []byte) (entries []*tar.Header) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return entries
		}
		must(t, err)
		entries = append(entries, h)
	}
}

// tarNames lists the entries of a tar by name.
func tarNames(t testing.TB, data []byte) (names []string) {
	t.Helper()
	for _, h := range tarEntries(t, data) {
		names = append(names, h.Name)
	}
	return names
}

// ids are those of all layers, images and containers.
func ids(t testing.TB, s *storetest.Store) (layers, images, containers []string) {
	t.Helper()
	snap, err := s.Snapshot(t.Context())
	must(t, err)
	for _, l := range snap.Layers {
		layers = append(layers, string(l.ID))
	}
	for _, i := range snap.Images {
		images = append(images, string(i.ID))
	}
	for _, c := range snap.Containers {
		containers = append(containers, string(c.ID))
	}
	return layers, images, containers
}

// wantIDs compares them.
func wantIDs(t testing.TB, s *storetest.Store, layers, images, containers []string) {
	t.Helper()
	l, i, c := ids(t, s)
	wantEqual(t, "layers", layers, l)
	wantEqual(t, "images", images, i)
	wantEqual(t, "containers", containers, c)
}

func wantEqual(t testing.TB, what string, want, got any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, append(opts, cmpopts.EquateEmpty())...); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func sorted(in []string) []string { return slices.Sorted(slices.Values(in)) }

func writeFile(path string, n int) error { return os.WriteFile(path, make([]byte, n), 0o600) }
