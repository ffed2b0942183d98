package overlay

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

// gap is a mapping that a mount program can not shift by.
var gap = idmap.Mapping{
	UIDs: []idmap.Range{{HostID: 100000, Size: 3}, {ContainerID: 3, HostID: 300000, Size: 100}},
	GIDs: []idmap.Range{{HostID: 200000, Size: 103}},
}

// TestReownForAMountProgram: copies are made where the program can not shift, with real
// owners or, under force_mask, with owners in attributes.
func TestReownForAMountProgram(t *testing.T) {
	program := graphdriver.Option{Key: "mount_program", Value: fuse(t)}
	for _, forced := range []bool{false, true} {
		t.Run(map[bool]string{false: "real owners", true: "force_mask"}[forced], func(t *testing.T) {
			options := []graphdriver.Option{program}
			if forced {
				options = append(options, graphdriver.Option{Key: "force_mask", Value: "shared"})
			}
			d := openAt(t, root(t), options...)
			if d.CanShift(gap) {
				t.Fatal("the driver claims to shift by a mapping with a gap")
			}
			layer(t, d, "base", "", testutil.Entry{Name: "dir/", UID: 1, Mode: 0o700}, testutil.Entry{Name: "dir/f", Body: "1", Mode: 0o4711, UID: 5, GID: 6})
			layer(t, d, "top", "base", testutil.Entry{Name: "gone", Body: "x"}, testutil.Entry{Name: "dir/"}, testutil.Entry{Name: "dir/g", Body: "2"})
			must(t, d.Create(t.Context(), "copy", "top", graphdriver.CreateOptions{Mapping: gap, Reown: &idmap.Mapping{}}))
			must(t, d.Create(t.Context(), "child", "copy", graphdriver.CreateOptions{Mapping: gap}))
			mounted(t, d, "child", graphdriver.MountOptions{}, func(path string) {
				same(t, "owner of dir/f", owner(t, filepath.Join(path, "dir/f")), [2]uint32{300002, 200006})
				same(t, "owner of dir/g", owner(t, filepath.Join(path, "dir/g")), [2]uint32{100000, 200000})
				var st unix.Stat_t
				must(t, unix.Stat(filepath.Join(path, "dir/f"), &st))
				same(t, "mode of dir/f", st.Mode&0o7777, uint32(0o4711))
			})
			if forced {
				var st unix.Stat_t
				must(t, unix.Stat(filepath.Join(d.homes[0].path, "copy", copyDir, "dir/f"), &st))
				same(t, "owner on disk", [2]uint32{st.Uid, st.Gid}, [2]uint32{0, 0})
			}
		})
	}
}
