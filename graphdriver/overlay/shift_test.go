package overlay

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

func owner(t *testing.T, path string) [2]uint32 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Lstat(path, &st))
	return [2]uint32{st.Uid, st.Gid}
}

// TestShiftedContainer: a container with maps on layers without (on-disk format, 4.7).
func TestShiftedContainer(t *testing.T) {
	for name, api := range map[string]mountapi.API{"auto": mountapi.Auto, "classic": mountapi.Classic} {
		t.Run(name, func(t *testing.T) {
			dir := root(t)
			d, err := open(t.Context(), config(dir), api)
			must(t, err)
			if !d.CanShift(hundredThousand) {
				t.Skip("the kernel can not shift here")
			}
			layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1", UID: 7, GID: 8}, testutil.Entry{Name: "d/"})
			layer(t, d, "image", "base", testutil.Entry{Name: "g", Body: "1", UID: 1000, GID: 1000})
			must(t, d.Create(t.Context(), "container", "image", graphdriver.CreateOptions{}))
			opts := graphdriver.MountOptions{Mapping: hundredThousand}
			mounted(t, d, "container", opts, func(path string) {
				same(t, "owner of f", owner(t, filepath.Join(path, "f")), [2]uint32{100007, 200008})
				same(t, "owner of g", owner(t, filepath.Join(path, "g")), [2]uint32{101000, 201000})
				same(t, "owner of root", owner(t, path), [2]uint32{100000, 200000})
				new := filepath.Join(path, "new")
				write(t, new, "2")
				must(t, os.Chown(new, 100005, 200006))
				write(t, filepath.Join(path, "f"), "changed")
			})
			same(t, "mapped views", shapeNames(t, d.homes[0].layer("container").dir()), []string{"diff", "link", "lower", "merged", "work"})
			same(t, "mounts", mountsBelow(t, dir), []string{d.homes[0].path})
			ways := graphdriver.DiffOptions{Mapping: hundredThousand}
			list, err := d.Changes(t.Context(), "container", "image", ways)
			must(t, err)
			same(t, "changes", len(list), 2)
			// Against the base layer the trees are compared, seen through the shift.
			list, err = d.Changes(t.Context(), "container", "base", ways)
			must(t, err)
			same(t, "changes to base", len(list), 3)
			// A read-only mount of an image shifts the layer itself as well.
			mounted(t, d, "image", graphdriver.MountOptions{Mapping: hundredThousand, ReadOnly: true}, func(path string) {
				same(t, "owner of g", owner(t, filepath.Join(path, "g")), [2]uint32{101000, 201000})
			})
			// What was written through the shift is not shifted again.
			mounted(t, d, "container", graphdriver.MountOptions{Mapping: hundredThousand, ReadOnly: true}, func(path string) {
				same(t, "owner of new", owner(t, filepath.Join(path, "new")), [2]uint32{100005, 200006})
				same(t, "owner of g", owner(t, filepath.Join(path, "g")), [2]uint32{101000, 201000})
			})
			must(t, d.Cleanup(t.Context()))
		})
	}
}

// TestShiftAttached: kernels before 6.15 need the shifted views attached.
func TestShiftAttached(t *testing.T) {
	d := openAt(t, root(t))
	if !d.CanShift(hundredThousand) {
		t.Skip("the kernel can not shift here")
	}
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1", UID: 7, GID: 8})
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	child := d.homes[0].layer("child")
	m, err := d.mountable(t.Context(), child, graphdriver.MountOptions{Mapping: hundredThousand})
	must(t, err)
	point := child.path("merged")
	calls := 0
	err = m.do(func(o *mountapi.Overlay) error {
		if calls++; calls == 1 {
			return unix.EINVAL
		}
		same(t, "lower directory", filepath.Dir(filepath.Dir(o.Lowers[0])), child.path("mapped/0"))
		return d.mounter.Overlay(o, point)
	})
	must(t, err)
	m.shift.close()
	same(t, "views", shapeNames(t, child.path("mapped")), []string(nil))
	same(t, "owner", owner(t, filepath.Join(point, "f")), [2]uint32{100007, 200008})
	must(t, d.Put(t.Context(), "child"))
}

func TestShiftRefused(t *testing.T) {
	cfg := config(root(t))
	cfg.DisableIDMap = true
	d, err := open(t.Context(), cfg, mountapi.Auto)
	must(t, err)
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	_, err = d.Get(t.Context(), "base", graphdriver.MountOptions{Mapping: hundredThousand})
	if !errors.Is(err, errdefs.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	same(t, "Supports shifting", d.Status()[4], graphdriver.StatusItem{Key: "Supports shifting", Value: "false"})
	must(t, d.Cleanup(t.Context()))
}

func TestContiguous(t *testing.T) {
	tests := []struct {
		name   string
		ranges []idmap.Range
		want   bool
	}{
		{"one", []idmap.Range{{ContainerID: 0, HostID: 5, Size: 10}}, true},
		{"two", []idmap.Range{{ContainerID: 0, HostID: 5, Size: 10}, {ContainerID: 10, HostID: 15, Size: 10}}, true},
		{"gap in the container", []idmap.Range{{ContainerID: 0, HostID: 5, Size: 10}, {ContainerID: 11, HostID: 15, Size: 10}}, false},
		{"gap on the host", []idmap.Range{{ContainerID: 0, HostID: 5, Size: 10}, {ContainerID: 10, HostID: 1000, Size: 10}}, false},
	}
	for _, tt := range tests {
		if got := contiguous(tt.ranges); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
