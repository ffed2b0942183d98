package strata_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stratastore/strata"
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
			must(t, errOf(s.Unmount(ctx, "mapped", strata.UnmountOptions{})))
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
