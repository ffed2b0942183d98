package strata_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// TestLifecycle follows an image from its tars to its end.
func TestLifecycle(t *testing.T) {
	base := []testutil.Entry{
		{Name: "etc/"}, {Name: "etc/hello", Body: "hello\n"}, {Name: "etc/gone", Body: "x"},
		{Name: "opq/"}, {Name: "opq/old", Body: "old"},
	}
	top := []testutil.Entry{
		{Name: "etc/"}, {Name: "etc/.wh.gone"}, {Name: "opq/"}, {Name: "opq/.wh..wh..opq"}, {Name: "opq/new", Body: "new"},
	}
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "l1", "", base...)
		l2 := importLayer(t, s, "l2", "l1", top...)
		if l2.DiffID != layer.DiffID(testutil.Digest(testutil.Tar(t, top...))) {
			t.Errorf("diff ID %s", l2.DiffID)
		}
		createImage(t, s, "img", "l2", "localhost/demo:1")
		c := createContainer(t, s, "", "localhost/demo:1", "box1")
		if c.Image != "img" {
			t.Errorf("container's image %q", c.Image)
		}
		root, err := s.Mount(ctx, "box1", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "tree", []string{"etc", "etc/hello", "opq", "opq/new"}, paths(t, root))
		must(t, os.WriteFile(filepath.Join(root, "etc/sub"), []byte("12345"), 0o644))
		must(t, os.Remove(filepath.Join(root, "etc/hello")))
		n, err := s.Mounted(ctx, "box1")
		if err != nil || n != 1 {
			t.Errorf("mounted %d times, %v", n, err)
		}
		changes, err := s.Changes(ctx, "box1", "")
		must(t, err)
		wantEqual(t, "changes", []archive.Change{
			{Path: "/etc", Kind: archive.Modified}, {Path: "/etc/hello", Kind: archive.Deleted}, {Path: "/etc/sub", Kind: archive.Added},
		}, changes)
		wantEqual(t, "diff", []string{"etc/", "etc/.wh.hello", "etc/sub"}, sorted(tarNames(t, diff(t, s, "box1", ""))))
		size, err := s.DiffSize(ctx, "box1", "")
		if err != nil || size != 5 {
			t.Errorf("diff size %d, %v", size, err)
		}
		if got := diff(t, s, "l2", ""); !bytes.Equal(got, testutil.Tar(t, top...)) {
			t.Errorf("the layer's diff has %d other bytes", len(got))
		}
		res, err := s.Unmount(ctx, "box1", strata.UnmountOptions{})
		if err != nil || res.Mounted || res.Kind != strata.KindContainer || res.Layer != c.Layer {
			t.Errorf("unmount: %+v, %v", res, err)
		}
		if _, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{}); !errors.Is(err, image.ErrUsedByContainer) {
			t.Errorf("delete the image in use: %v", err)
		}
		must(t, s.DeleteContainer(ctx, "box1"))
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed layers", []layer.ID{"l2", "l1"}, removed)
		wantIDs(t, s, nil, nil, nil)
	})
}

// paths lists what is below dir.
func paths(t testing.TB, dir string) (out []string) {
	t.Helper()
	must(t, filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if err == nil && path != dir {
			rel, relErr := filepath.Rel(dir, path)
			out, err = append(out, rel), relErr
		}
		return err
	}))
	return out
}

func TestCreateLayerErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		createLayer(t, s, "l1", "", "first")
		createImage(t, s, "img", "l1")
		c := createContainer(t, s, "box1", "img", "web")
		tests := []struct {
			name string
			opts strata.LayerOptions
			want error
			text string
		}{
			{"unknown parent", strata.LayerOptions{Parent: "none"}, layer.ErrUnknown, "layer not known"},
			{"container's name as parent", strata.LayerOptions{Parent: "web"}, layer.ErrUnknown, "layer not known"},
			{"container's layer as parent", strata.LayerOptions{Parent: string(c.Layer)}, layer.ErrParentIsContainer, "would-be parent layer is a container"},
			{"ID in use", strata.LayerOptions{ID: "l1"}, layer.ErrDuplicateID, "that ID is already in use"},
			{"name in use", strata.LayerOptions{Names: []string{"first"}}, layer.ErrDuplicateName, "that name is already in use"},
			{"ID with slash", strata.LayerOptions{ID: "../../x"}, errdefs.ErrInvalid, ""},
			{"empty name", strata.LayerOptions{Names: []string{""}}, errdefs.ErrInvalid, ""},
			{"host and map", strata.LayerOptions{Mapping: strata.MappingOptions{HostUIDs: true, UIDs: []strata.IDRange{{Size: 1}}}}, errdefs.ErrInvalid, ""},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, created := s.CreateLayer(t.Context(), tt.opts)
				_, imported := s.ImportLayer(t.Context(), tt.opts, bytes.NewReader(nil))
				for _, err := range []error{created, imported} {
					if !errors.Is(err, tt.want) {
						t.Fatalf("error = %v, want %v", err, tt.want)
					}
					if tt.text != "" && err.Error() != tt.text {
						t.Fatalf("text = %q, want %q", err, tt.text)
					}
				}
			})
		}
		wantIDs(t, s, []string{"l1", string(c.Layer)}, []string{"img"}, []string{"box1"})
	})
}

func TestImportLayer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		empty, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "empty"}, bytes.NewReader(nil))
		must(t, err)
		if empty.DiffID != layer.DiffID(testutil.Digest(nil)) {
			t.Errorf("diff ID of nothing: %s", empty.DiffID)
		}
		good := testutil.Tar(t, testutil.Entry{Name: "f", Body: "x"})
		bad := map[string]struct {
			opts strata.LayerOptions
			blob []byte
		}{
			"garbage":          {strata.LayerOptions{}, bytes.Repeat([]byte("garbage"), 200)},
			"truncated":        {strata.LayerOptions{}, good[:512]},
			"other digest":     {strata.LayerOptions{Expect: layer.DiffID(testutil.Digest(nil))}, good},
			"truncated gzip":   {strata.LayerOptions{}, []byte{0x1f, 0x8b, 8, 0, 0}},
			"escaping entries": {strata.LayerOptions{}, testutil.Tar(t, testutil.Entry{Name: "../../evil", Body: "x"})},
		}
		for name, b := range bad {
			b.opts.ID = "bad"
			if _, err := s.ImportLayer(ctx, b.opts, bytes.NewReader(b.blob)); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := s.ImportLayer(ctx, strata.LayerOptions{}, brokenReader{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the reader's error is lost: %v", err)
		}
		wantIDs(t, s, []string{"empty"}, nil, nil)
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestCreateImageErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		createLayer(t, s, "l1", "", "first")
		createImage(t, s, "i1", "first", "n1")
		got, err := s.Image(t.Context(), "n1")
		if err != nil || got.TopLayer != "l1" {
			t.Errorf("top layer by name: %q, %v", got.TopLayer, err)
		}
		tests := []struct {
			opts image.CreateOptions
			want error
			text string
		}{
			{image.CreateOptions{TopLayer: "none"}, layer.ErrUnknown, "layer not known"},
			{image.CreateOptions{ID: "i1"}, image.ErrDuplicateID, `an image with ID "i1" already exists: that ID is already in use`},
			{image.CreateOptions{Names: []string{"n1"}}, image.ErrDuplicateName, `image name "n1" is already associated with image "i1": that name is already in use`},
			{image.CreateOptions{Digest: "xx"}, errdefs.ErrInvalid, `validating digests for new image: validating image digest "xx": invalid checksum digest format`},
		}
		for _, tt := range tests {
			tt.opts.BigData = []image.BigDatum{{Key: "k", Data: []byte("v")}}
			_, err := s.CreateImage(t.Context(), tt.opts)
			if !errors.Is(err, tt.want) || err.Error() != tt.text {
				t.Errorf("error = %v, want %q", err, tt.text)
			}
		}
		wantIDs(t, s, []string{"l1"}, []string{"i1"}, nil)
	})
}

func TestCreateContainer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "l1", "")
		createImage(t, s, "i1", "l1")
		createImage(t, s, "empty", "")
		c, err := s.CreateContainer(ctx, strata.ContainerOptions{
			Image: "i1", Names: []string{"a", "b", "a"}, Metadata: "text", Volatile: true, MountOpts: []string{"nodev"},
			BigData: []container.BigDatum{{Key: "k", Data: []byte("v")}},
		})
		must(t, err)
		l, err := s.Layer(ctx, string(c.Layer))
		if err != nil || l.Parent != "l1" || len(l.ID) != 64 {
			t.Errorf("container's layer %+v, %v", l, err)
		}
		if !c.Volatile() || len(c.MountOpts()) != 1 || string(c.Flags["MountLabel"]) != `""` || string(c.Flags["ProcessLabel"]) != `""` {
			t.Errorf("flags %s", c.Flags)
		}
		without, err := s.CreateContainer(ctx, strata.ContainerOptions{ID: "w"})
		must(t, err)
		if string(without.Flags["MountLabel"]) != `""` || without.Flags["Volatile"] != nil || without.Image != "" {
			t.Errorf("container without an image: %+v", without)
		}
		onEmpty := createContainer(t, s, "e", "empty")
		before, _, _ := ids(t, s)
		tests := []struct {
			opts strata.ContainerOptions
			want error
			text string
		}{
			{strata.ContainerOptions{Image: "nope"}, image.ErrUnknown, `locating image with ID "nope": image not known`},
			{strata.ContainerOptions{ID: c.ID}, container.ErrDuplicateID, "that ID is already in use"},
			{strata.ContainerOptions{Names: []string{"b"}}, container.ErrDuplicateName, "that name is already in use"},
		}
		for _, tt := range tests {
			tt.opts.BigData = []container.BigDatum{{Key: "k"}}
			if _, err := s.CreateContainer(ctx, tt.opts); !errors.Is(err, tt.want) || err.Error() != tt.text {
				t.Errorf("error = %v, want %q", err, tt.text)
			}
		}
		after, _, containers := ids(t, s)
		wantEqual(t, "layers after refusals", before, after)
		wantEqual(t, "containers", []string{string(c.ID), "w", "e"}, containers)
		found, err := s.ContainerByLayer(ctx, onEmpty.Layer)
		if err != nil || found.ID != "e" {
			t.Errorf("container by layer: %s, %v", found.ID, err)
		}
		if _, err := os.Stat(filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "volatile-containers.json")); err == nil {
			t.Error("strata's own volatile container is in the volatile file")
		}
	})
}
