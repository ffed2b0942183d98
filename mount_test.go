package strata_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

func TestMountCounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "", "name")
		other := s.Again(t)
		var first string
		for i := range 3 {
			st := s
			if i == 1 {
				st = other // another handle counts on
			}
			path, err := st.Mount(ctx, "name", strata.MountOptions{})
			must(t, err)
			if first == "" {
				first = path
			}
			if path != first || !filepath.IsAbs(path) || !strings.HasPrefix(path, s.GraphRoot()) {
				t.Errorf("mount %d at %s, the first at %s", i, path, first)
			}
		}
		for i, want := range []bool{true, true, false} {
			res, err := s.Unmount(ctx, "lay", strata.UnmountOptions{})
			if err != nil || res.Mounted != want {
				t.Errorf("unmount %d: mounted %t, %v; want %t", i, res.Mounted, err, want)
			}
		}
		if n, err := other.Mounted(ctx, "lay"); err != nil || n != 0 {
			t.Errorf("count %d, %v after the last unmount", n, err)
		}
		res, err := s.Unmount(ctx, "lay", strata.UnmountOptions{})
		if err != nil || res.Mounted {
			t.Errorf("unmount what is not mounted: %+v, %v", res, err)
		}
		for range 3 {
			_, err := s.Mount(ctx, "lay", strata.MountOptions{})
			must(t, err)
		}
		res, err = s.Unmount(ctx, "lay", strata.UnmountOptions{Force: true})
		if err != nil || res.Mounted {
			t.Errorf("unmount by force: %+v, %v", res, err)
		}
	})
}

// TestUnmountCancelled: what is unmounted is not counted, also when the caller gives up
// between the two.
func TestUnmountCancelled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		shared(t, s)
		createContainer(t, s, "con", "shared")
		must(t, errOf(s.Mount(t.Context(), "con", strata.MountOptions{})))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		defer faults.Enable(faults.Rule{Point: "atomicfile.create", Under: s.RunRoot(), Times: 1, Do: cancel})()
		must(t, errOf(s.Unmount(ctx, "con", strata.UnmountOptions{})))
		report, err := s.Store.Check(t.Context(), strata.CheckOptions{})
		must(t, err)
		wantEqual(t, "findings", []string(nil), found(report.Findings))
	})
}

func TestMountErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createImage(t, s, "i", "", "img")
		for _, name := range []string{"none", "img"} {
			if _, err := s.Mount(ctx, name, strata.MountOptions{}); !errors.Is(err, layer.ErrUnknown) || err.Error() != "layer not known" {
				t.Errorf("mount %s: %v", name, err)
			}
			if _, err := s.Mounted(ctx, name); !errors.Is(err, layer.ErrUnknown) {
				t.Errorf("mounted %s: %v", name, err)
			}
		}
		if _, err := s.Unmount(ctx, "none", strata.UnmountOptions{}); !errors.Is(err, layer.ErrUnknown) || err.Error() != "layer not known" {
			t.Errorf("unmount none: %v", err)
		}
		if _, err := s.MountImage(ctx, "none", strata.MountOptions{}); !errors.Is(err, image.ErrUnknown) || err.Error() != `locating image with ID "none": image not known` {
			t.Errorf("mount image none: %v", err)
		}
		if _, err := s.MountImage(ctx, "img", strata.MountOptions{}); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("mount an image without layers: %v", err)
		}
	})
}

func TestMountImage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		importLayer(t, s, "lay", "", testutil.Entry{Name: "f", Body: "x"})
		createImage(t, s, "i", "lay", "img")
		path, err := s.MountImage(ctx, "img", strata.MountOptions{})
		must(t, err)
		data, err := os.ReadFile(filepath.Join(path, "f"))
		if err != nil || string(data) != "x" {
			t.Errorf("content %q, %v", data, err)
		}
		if s.DriverName() == "overlay" {
			if err := os.WriteFile(filepath.Join(path, "g"), nil, 0o600); err == nil {
				t.Error("the mounted image can be written")
			}
		}
		res, err := s.Unmount(ctx, "img", strata.UnmountOptions{})
		if err != nil || res.Kind != strata.KindImage || res.Mounted || res.Layer != "lay" {
			t.Errorf("unmount: %+v, %v", res, err)
		}
	})
}

func TestShutdown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "")
		other := s.Again(t)
		for range 2 {
			_, err := s.Mount(ctx, "lay", strata.MountOptions{})
			must(t, err)
		}
		const text = "a layer is mounted: layer is in use by a container"
		for _, force := range []bool{false, true} {
			mounted, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: force})
			if !errors.Is(err, layer.ErrUsedByContainer) || !errors.Is(err, errdefs.ErrInUse) || err.Error() != text {
				t.Errorf("force %t: %v", force, err)
			}
			wantEqual(t, "mounted", []layer.ID{"lay"}, mounted)
		}
		mounted, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: true})
		if err != nil || len(mounted) != 0 {
			t.Errorf("again: %v, %v", mounted, err)
		}
		for _, st := range []*storetest.Store{s, other} { // both notice and set the driver up again
			_, err := st.Mount(ctx, "lay", strata.MountOptions{})
			must(t, err)
			_, err = st.Unmount(ctx, "lay", strata.UnmountOptions{})
			must(t, err)
		}
	})
}

// TestShutdownOfWhatIsOnlyCounted: who unmounts and is killed before he has saved that leaves a count,
// which a forced shutdown takes away.
func TestShutdownOfWhatIsOnlyCounted(t *testing.T) {
	s := storetest.New(t, "overlay")
	ctx := t.Context()
	createLayer(t, s, "lay", "")
	root, err := s.Mount(ctx, "lay", strata.MountOptions{})
	must(t, err)
	must(t, mountapi.Detach(root))
	for _, force := range []bool{false, true} {
		if mounted, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: force}); err != nil || len(mounted) != 0 {
			t.Errorf("force %t: %v, %v", force, mounted, err)
		}
		l, err := s.Layer(ctx, "lay")
		must(t, err)
		wantEqual(t, "count", map[bool]int{false: 1, true: 0}[force], l.MountCount)
	}
}

func TestClosed(t *testing.T) {
	s := storetest.New(t, "vfs")
	closed, err := strata.Open(t.Context(), s.Options)
	must(t, err)
	must(t, closed.Close(t.Context()))
	must(t, closed.Close(t.Context()))
	if _, err := closed.Layers(t.Context()); !errors.Is(err, strata.ErrClosed) {
		t.Errorf("layers of a closed store: %v", err)
	}
	if _, err := closed.Status(t.Context()); !errors.Is(err, strata.ErrClosed) {
		t.Errorf("status of a closed store: %v", err)
	}
	_, err = closed.Mount(t.Context(), "x", strata.MountOptions{})
	if !errors.Is(err, strata.ErrClosed) {
		t.Errorf("mount in a closed store: %v", err)
	}
}

func TestParentOwners(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		c := createContainer(t, s, "box", "")
		if _, _, err := s.ContainerParentOwners(ctx, "box"); !errors.Is(err, layer.ErrNotMounted) || err.Error() != "layer is not mounted" {
			t.Errorf("not mounted: %v", err)
		}
		_, err := s.Mount(ctx, "box", strata.MountOptions{})
		must(t, err)
		uids, gids, err := s.LayerParentOwners(ctx, string(c.Layer))
		must(t, err)
		if len(uids) != 0 || len(gids) != 0 {
			t.Errorf("the identity covers all: %v, %v", uids, gids)
		}
		l, err := s.CreateLayer(ctx, strata.LayerOptions{ID: "mapped", Mapping: strata.MappingOptions{
			UIDs: []strata.IDRange{{HostID: 100000, Size: 10}}, GIDs: []strata.IDRange{{HostID: 100000, Size: 10}},
		}})
		must(t, err)
		if l.Mapping().Empty() {
			return // the driver shifts while mounting
		}
		_, err = s.Mount(ctx, "mapped", strata.MountOptions{})
		must(t, err)
		uids, gids, err = s.LayerParentOwners(ctx, "mapped")
		must(t, err)
		wantEqual(t, "UIDs", []int{0}, uids)
		wantEqual(t, "GIDs", []int{0}, gids)
	})
}
