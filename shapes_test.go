package strata_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		opts strata.Options
		want error
	}{
		{"no roots", strata.Options{}, strata.ErrIncompleteOptions},
		{"no run root", strata.Options{GraphRoot: dir}, strata.ErrIncompleteOptions},
		{"image store is the graph root", strata.Options{GraphRoot: dir + "/g", RunRoot: dir + "/r", ImageStore: dir + "/x/../g", Driver: "vfs"}, errdefs.ErrInvalid},
		{"unknown driver", strata.Options{GraphRoot: dir + "/g", RunRoot: dir + "/r", Driver: "nope"}, errdefs.ErrUnsupported},
		{"unknown option", strata.Options{GraphRoot: dir + "/g", RunRoot: dir + "/r", Driver: "vfs", DriverOptions: []string{"foo=bar"}}, errdefs.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := strata.Open(t.Context(), tt.opts)
			if !errors.Is(err, tt.want) {
				t.Fatalf("Open = %v, %v; want %v", s, err, tt.want)
			}
		})
	}
}

func TestRelativeRoots(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	t.Chdir(dir)
	s := storetest.Open(t, strata.Options{GraphRoot: "graph", RunRoot: "run", Driver: "vfs"})
	if s.GraphRoot() != filepath.Join(dir, "graph") || s.RunRoot() != filepath.Join(dir, "run") {
		t.Errorf("roots %s, %s", s.GraphRoot(), s.RunRoot())
	}
}

// TestAdditionalStore works on top of another store and never writes to it.
func TestAdditionalStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, below *storetest.Store) {
		ctx := t.Context()
		importLayer(t, below, "ro-layer", "", testutil.Entry{Name: "f", Body: "below"})
		must(t, errOf(below.AddNames(ctx, "ro-layer", []string{"ro-name"})))
		createImage(t, below, "ro-image", "ro-layer", "ro:1")
		must(t, below.SetBigData(ctx, strata.KindImage, "ro-image", "manifest", []byte("m")))
		before := files(t, below.GraphRoot())

		s := storetest.New(t, below.DriverName(), func(o *strata.Options) {
			o.AdditionalImageStores = []string{filepath.Join(t.TempDir(), "none"), below.GraphRoot()}
		})
		createLayer(t, s, "own", "")
		wantIDs(t, s, []string{"own", "ro-layer"}, []string{"ro-image"}, nil)
		l, err := s.Layer(ctx, "ro-name")
		if err != nil || !l.ReadOnly {
			t.Errorf("layer %+v, %v", l, err)
		}
		i, err := s.Image(ctx, "ro:1")
		if err != nil || !i.ReadOnly {
			t.Errorf("image %+v, %v", i, err)
		}

		refused := []struct {
			name string
			err  error
			text string
		}{
			{"mount", errOf(s.Mount(ctx, "ro-layer", strata.MountOptions{})), "mounting read/only store images is not allowed: called a write method on a read-only store"},
			{"delete layer", s.DeleteLayer(ctx, "ro-layer"), "identifier is not a layer"},
			{"delete image", errOf(s.DeleteImage(ctx, "ro-image", strata.DeleteImageOptions{})), "identifier is not an image"},
			{"delete", errOf(s.Delete(ctx, "ro-layer")), "layer not known"},
			{"delete an image", errOf(s.Delete(ctx, "ro-image")), "layer not known"},
			{"metadata", s.SetMetadata(ctx, "ro-layer", "x"), "identifier is not a layer, image, or container"},
			{"layer names", errOf(s.AddNames(ctx, "ro-layer", []string{"x"})), "layer not known"},
			{"layer data", s.SetBigData(ctx, strata.KindLayer, "ro-layer", "k", nil), "layer not known"},
			{"image data", s.SetBigData(ctx, strata.KindImage, "ro-image", "k", nil), `locating image with ID "ro-image": image not known`},
			{"apply diff", errOf(s.ApplyDiff(ctx, "ro-layer", strings.NewReader(""))), "layer not known"},
		}
		for _, r := range refused {
			if r.err == nil || r.err.Error() != r.text {
				t.Errorf("%s: %v, want %q", r.name, r.err, r.text)
			}
		}
		// A read-only layer does not stand in the way of another object's name.
		createContainer(t, s, "ro-layer", "")
		must(t, s.SetMetadata(ctx, "ro-layer", "mine"))
		must(t, errOf(s.AddNames(ctx, "ro-layer", []string{"mine"})))
		must(t, s.DeleteContainer(ctx, "mine"))
		// On top of it all is possible.
		createLayer(t, s, "child", "ro-name")
		createImage(t, s, "child-image", "ro-layer")
		createContainer(t, s, "box", "ro:1")
		write(t, s, "box", "g", "own")
		root, err := s.Mount(ctx, "box", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "tree", []string{"f", "g"}, paths(t, root))
		must(t, errOf(s.Unmount(ctx, "box", strata.UnmountOptions{})))
		wantEqual(t, "diff of a read-only layer", []string{"f"}, tarNames(t, diff(t, s, "ro-layer", "")))

		// Naming copies the image into the written store.
		names, err := s.AddNames(ctx, "ro-image", []string{"mine:1"})
		must(t, err)
		wantEqual(t, "names", []string{"mine:1", "ro:1"}, names)
		i, err = s.Image(ctx, "ro-image")
		if err != nil || i.ReadOnly {
			t.Errorf("the copy: %+v, %v", i, err)
		}
		must(t, s.DeleteContainer(ctx, "box"))
		removed, err := s.DeleteImage(ctx, "mine:1", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed layers", []layer.ID(nil), removed)
		i, err = s.Image(ctx, "ro-image")
		if err != nil || !i.ReadOnly {
			t.Errorf("the original: %+v, %v", i, err)
		}
		must(t, s.Wipe(ctx))
		wantIDs(t, s, []string{"ro-layer"}, []string{"ro-image"}, nil)
		wantEqual(t, "files of the additional store", before, files(t, below.GraphRoot()))
	})
}

// TestAdditionalStoreOnReadOnlyMount: not even a lock file is written.
func TestAdditionalStoreOnReadOnlyMount(t *testing.T) {
	storetest.Each(t, func(t *testing.T, below *storetest.Store) {
		ctx := t.Context()
		importLayer(t, below, "ro-layer", "", testutil.Entry{Name: "f", Body: "below"})
		createImage(t, below, "ro-image", "ro-layer", "ro:1")
		must(t, errOf(below.Shutdown(ctx, strata.ShutdownOptions{})))
		readOnly := t.TempDir()
		must(t, unix.Mount(below.GraphRoot(), readOnly, "", unix.MS_BIND, ""))
		t.Cleanup(func() { must(t, testutil.Unmount(readOnly)) })
		must(t, unix.Mount("", readOnly, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		s := storetest.New(t, below.DriverName(), func(o *strata.Options) { o.AdditionalImageStores = []string{readOnly} })
		createContainer(t, s, "box", "ro:1")
		root, err := s.Mount(ctx, "box", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "tree", []string{"f"}, paths(t, root))
		must(t, errOf(s.Unmount(ctx, "box", strata.UnmountOptions{})))
		must(t, errOf(s.MountImage(ctx, "ro:1", strata.MountOptions{})))
		must(t, errOf(s.Unmount(ctx, "ro:1", strata.UnmountOptions{})))
		must(t, errOf(s.AddNames(ctx, "ro-image", []string{"mine:1"})))
		wantEqual(t, "diff", []string{"f"}, tarNames(t, diff(t, s, "ro-layer", "")))
		must(t, s.DeleteContainer(ctx, "box"))
		must(t, errOf(s.Shutdown(ctx, strata.ShutdownOptions{})))
	})
}

// errOf drops the value of a call.
func errOf[T any](_ T, err error) error { return err }

// files lists all files below dir with size and time, links and directories with their names.
func files(t testing.TB, dir string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := path + " " + info.Mode().String()
		if info.Mode().IsRegular() {
			line += " " + info.ModTime().String()
		}
		out = append(out, line)
		return nil
	}))
	return out
}

func TestSeparateImageStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, plain *storetest.Store) {
		ctx := t.Context()
		createLayer(t, plain, "old-layer", "")
		createImage(t, plain, "old-image", "old-layer")
		opts := plain.Options
		opts.ImageStore = filepath.Join(t.TempDir(), "images")
		s := storetest.Open(t, opts)
		d := s.DriverName()
		_, err := s.CreateLayer(ctx, strata.LayerOptions{ID: "new-layer", Image: true})
		must(t, err)
		createImage(t, s, "new-image", "new-layer")
		c := createContainer(t, s, "box", "new-image")
		wantIDs(t, s, []string{"old-layer", string(c.Layer), "new-layer"}, []string{"new-image", "old-image"}, []string{"box"})
		for _, f := range []string{d + "-layers/layers.json", d + "-images/images.json"} {
			data, err := os.ReadFile(filepath.Join(opts.ImageStore, f))
			if err != nil || !strings.Contains(string(data), `"id":"new-`) {
				t.Errorf("%s: %s, %v", f, data, err)
			}
		}
		write(t, s, "box", "f", "x")
		must(t, s.DeleteContainer(ctx, "box"))
		// The image store alone is a store.
		alone := storetest.Open(t, strata.Options{GraphRoot: opts.ImageStore, RunRoot: filepath.Join(t.TempDir(), "run"), Driver: d})
		wantIDs(t, alone, []string{"new-layer"}, []string{"new-image"}, nil)
		must(t, errOf(alone.Mount(ctx, "new-layer", strata.MountOptions{})))
		must(t, errOf(alone.Unmount(ctx, "new-layer", strata.UnmountOptions{})))
		// What the graph root had before stays visible and can go.
		removed, err := s.DeleteImage(ctx, "old-image", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed layers", []layer.ID{"old-layer"}, removed)
		removed, err = s.DeleteImage(ctx, "new-image", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed layers", []layer.ID{"new-layer"}, removed)
		wantIDs(t, s, nil, nil, nil)
		wantIDs(t, plain, nil, nil, nil)
	})
}

func TestTransientStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, plain *storetest.Store) {
		ctx := t.Context()
		createLayer(t, plain, "lay", "")
		createImage(t, plain, "i", "lay")
		opts := plain.Options
		opts.Transient = true
		s := storetest.Open(t, opts)
		d := s.DriverName()
		c := createContainer(t, s, "box", "i")
		if !c.Volatile() || !c.Transient {
			t.Errorf("container %+v", c)
		}
		wantIDs(t, s, []string{"lay", string(c.Layer)}, []string{"i"}, []string{"box"})
		for _, f := range []string{d + "-containers/volatile-containers.json", d + "-containers/containers.lock", d + "-layers/volatile-layers.json"} {
			if _, err := os.Stat(filepath.Join(s.RunRoot(), f)); err != nil {
				t.Errorf("in the run root: %v", err)
			}
		}
		if _, _, containers := ids(t, plain); len(containers) != 0 {
			t.Errorf("seen without the option: %v", containers)
		}
		write(t, s, "box", "f", "x")
		if _, err := s.DeleteImage(ctx, "i", strata.DeleteImageOptions{}); !errors.Is(err, image.ErrUsedByContainer) {
			t.Errorf("delete the image: %v", err)
		}
		must(t, s.DeleteContainer(ctx, "box"))
		wantIDs(t, s, []string{"lay"}, []string{"i"}, nil)
	})
}

func TestReadOnlyGraphRoot(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "graph"), nil, 0o600)) // a file where the root should be
	_, err := strata.Open(t.Context(), strata.Options{GraphRoot: dir + "/graph", RunRoot: dir + "/run", Driver: "vfs"})
	if err == nil || !strings.Contains(err.Error(), dir+"/graph") {
		t.Errorf("error = %v", err)
	}
}
