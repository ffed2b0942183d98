package strata_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

func ranges(host, size int) strata.MappingOptions {
	r := []strata.IDRange{{HostID: host, Size: size}}
	return strata.MappingOptions{UIDs: r, GIDs: r}
}

// TestMappedContainerOnFixture stands a container on the re-owned copy that another
// engine made: its files have the wanted owners already.
func TestMappedContainerOnFixture(t *testing.T) {
	for _, name := range []string{"plain-overlay", "plain-vfs"} {
		t.Run(name, func(t *testing.T) {
			s := fixture(t, name)
			ctx := t.Context()
			c, err := s.CreateContainer(ctx, strata.ContainerOptions{ID: "mapped", Image: "localhost/fixture:1", Mapping: ranges(100000, 65536)})
			must(t, err)
			l, err := s.Layer(ctx, string(c.Layer))
			must(t, err)
			i, err := s.Image(ctx, "localhost/fixture:1")
			must(t, err)
			want := i.MappedLayers[0]
			if l.Mapping().Empty() {
				want = i.TopLayer // the driver shifts while mounting
			}
			wantEqual(t, "parent", want, l.Parent)
			wantEqual(t, "container's mapping", 100000, c.Mapping().UIDs[0].HostID)
			root, err := s.Mount(ctx, "mapped", strata.MountOptions{})
			must(t, err)
			wantEqual(t, "owner of etc", uint32(100000), uidOf(t, filepath.Join(root, "etc")))
			must(t, os.WriteFile(filepath.Join(root, "etc/own"), []byte("x"), 0o600))
			must(t, os.Chown(filepath.Join(root, "etc/own"), 100007, 100000))
			must(t, errOf(s.Unmount(ctx, "mapped", false)))
			for _, e := range tarEntries(t, diff(t, s, "mapped", "")) {
				if e.Name == "etc/own" && (e.Uid != 7 || e.Gid != 0) {
					t.Errorf("owner in the diff is %d:%d, want 7:0", e.Uid, e.Gid)
				}
			}
			must(t, s.DeleteContainer(ctx, "mapped"))
		})
	}
}

func uidOf(t testing.TB, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Uid
}

// TestOtherOwnersNeedACopy: where the driver does not shift, the wrong owners are
// refused instead of shown.
func TestOtherOwnersNeedACopy(t *testing.T) {
	testutil.RequireRoot(t)
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	importLayer(t, s, "base", "", testutil.Entry{Name: "f", Body: "x"})
	createImage(t, s, "img", "base")
	for what, err := range map[string]error{
		"container": errOf(s.CreateContainer(ctx, strata.ContainerOptions{Image: "img", Mapping: ranges(5000, 10)})),
		"layer":     errOf(s.CreateLayer(ctx, strata.LayerOptions{Parent: "base", Mapping: ranges(5000, 10)})),
	} {
		if !errors.Is(err, errdefs.ErrUnsupported) || errdefs.Hint(err) == "" {
			t.Errorf("%s: %v, hint %q", what, err, errdefs.Hint(err))
		}
	}
	mapped, err := s.CreateLayer(ctx, strata.LayerOptions{ID: "mapped", Mapping: ranges(5000, 10)})
	must(t, err)
	child, err := s.CreateLayer(ctx, strata.LayerOptions{Parent: "mapped"})
	must(t, err)
	if !child.Mapping().Equal(mapped.Mapping()) {
		t.Error("the parent's mapping is not inherited")
	}
	if _, err := s.CreateLayer(ctx, strata.LayerOptions{Parent: "mapped", Mapping: strata.MappingOptions{HostUIDs: true, HostGIDs: true}}); !errors.Is(err, errdefs.ErrUnsupported) {
		t.Errorf("host IDs on a mapped layer: %v", err)
	}
}
