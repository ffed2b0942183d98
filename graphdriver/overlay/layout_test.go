package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/testutil"
)

var hundredThousand = idmap.Mapping{
	UIDs: []idmap.Range{{ContainerID: 0, HostID: 100000, Size: 65536}},
	GIDs: []idmap.Range{{ContainerID: 0, HostID: 200000, Size: 65536}},
}

// shape lists what is in a directory as "name mode uid:gid", without going further down.
func shape(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var lines []string
	for _, e := range entries {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, e.Name()), &st))
		lines = append(lines, fmt.Sprintf("%s %o %d:%d", e.Name(), st.Mode, st.Uid, st.Gid))
	}
	return lines
}

// TestLayerOnDisk: on-disk format, 1.1 and 4.2, for layers that are created and for layers that
// are staged.
func TestLayerOnDisk(t *testing.T) {
	create := func(t *testing.T, d *driver, id, parent graphdriver.ID, opts graphdriver.CreateOptions) {
		must(t, d.Create(t.Context(), id, parent, opts))
	}
	stage := func(t *testing.T, d *driver, id, parent graphdriver.ID, opts graphdriver.CreateOptions) {
		st, err := d.Stage(t.Context(), parent, opts)
		must(t, err)
		must(t, st.Adopt(t.Context(), id))
		must(t, st.Discard())
	}
	for name, make := range map[string]func(*testing.T, *driver, graphdriver.ID, graphdriver.ID, graphdriver.CreateOptions){
		"created": create, "staged": stage,
	} {
		t.Run(name, func(t *testing.T) {
			dir := root(t)
			d := openAt(t, dir)
			make(t, d, "base", "", graphdriver.CreateOptions{})
			make(t, d, "mapped", "", graphdriver.CreateOptions{Mapping: hundredThousand})
			must(t, os.Chmod(d.homes[0].layer("base").diff(), 0o751))
			must(t, os.Chown(d.homes[0].layer("base").diff(), 5, 6))
			make(t, d, "child", "base", graphdriver.CreateOptions{Mapping: hundredThousand})
			make(t, d, "top", "child", graphdriver.CreateOptions{})
			home := filepath.Join(dir, "overlay")
			same(t, "base", shape(t, filepath.Join(home, "base")), []string{
				"diff 40751 5:6", "empty 40700 0:0", "link 100644 0:0", "merged 40700 0:0", "work 40700 0:0",
			})
			same(t, "mapped", shape(t, filepath.Join(home, "mapped")), []string{
				"diff 40555 100000:200000", "empty 40700 100000:200000", "link 100644 0:0",
				"merged 40700 100000:200000", "work 40700 100000:200000",
			})
			same(t, "child", shape(t, filepath.Join(home, "child")), []string{
				"diff 40751 5:6", "link 100644 0:0", "lower 100644 0:0", "merged 40700 100000:200000", "work 40700 100000:200000",
			})
			link := func(id string) string { return read(t, filepath.Join(home, id, "link")) }
			same(t, "lower of child", read(t, filepath.Join(home, "child/lower")), "l/"+link("base"))
			same(t, "lower of top", read(t, filepath.Join(home, "top/lower")), "l/"+link("child")+":l/"+link("base"))
			for _, id := range []string{"base", "child", "top", "mapped"} {
				to, err := os.Readlink(filepath.Join(home, "l", link(id)))
				must(t, err)
				same(t, "symbolic link", to, "../"+id+"/diff")
				same(t, "length of link", len(link(id)), 26)
			}
			var st unix.Stat_t
			must(t, unix.Lstat(filepath.Join(home, "child"), &st))
			same(t, "child itself", fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid), "40700 100000:200000")
			same(t, "home", shapeNames(t, home), []string{".has-mount-program", "base", "child", "l", "mapped", "tempdirs", "top"})
			same(t, "tempdirs", shapeNames(t, filepath.Join(home, "tempdirs")), []string(nil))
			same(t, "mark", read(t, filepath.Join(home, ".has-mount-program")), "false")
		})
	}
}

func shapeNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, line := range shape(t, dir) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

// TestMergedStays: after an unmount there is a new, empty mount point with the old owner; and
// a missing one, which old engines leave, is made again.
func TestMergedStays(t *testing.T) {
	d := openAt(t, root(t))
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{Mapping: hundredThousand}))
	merged := d.homes[0].layer("base").path("merged")
	before, err := os.Stat(merged)
	must(t, err)
	mounted(t, d, "base", graphdriver.MountOptions{}, func(string) {})
	after, err := os.Stat(merged)
	must(t, err)
	if os.SameFile(before, after) {
		t.Error("the mount point is the old one")
	}
	same(t, "base", shape(t, filepath.Dir(merged))[3], "merged 40700 100000:200000")
	must(t, os.Remove(merged))
	mounted(t, d, "base", graphdriver.MountOptions{}, func(dir string) { same(t, "path", dir, merged) })
	must(t, os.Mkdir(merged+".1", 0o700)) // of a process that was killed
	mounted(t, d, "base", graphdriver.MountOptions{}, func(string) {})
	same(t, "names", shapeNames(t, filepath.Dir(merged)), []string{"diff", "empty", "link", "merged", "work"})
}

// TestVolatile: a layer that was mounted volatile can be mounted again.
func TestVolatile(t *testing.T) {
	d := openAt(t, root(t))
	if !d.features.volatile() {
		t.Skip("the kernel has no volatile mounts")
	}
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	mark := d.homes[0].layer("child").path("work/work/incompat/volatile")
	for range 2 {
		mounted(t, d, "child", graphdriver.MountOptions{Volatile: true}, func(dir string) {
			if _, err := os.Stat(mark); err != nil {
				t.Errorf("the kernel's mark of a volatile mount: %v", err)
			}
		})
		mounted(t, d, "child", graphdriver.MountOptions{}, func(string) {
			if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("mark in an ordinary mount: %v", err)
			}
		})
	}
}

func TestTooDeep(t *testing.T) {
	d := openAt(t, root(t))
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	// A chain of 500 whose layers are all the same one.
	link, err := d.homes[0].layer("base").link()
	must(t, err)
	list := make([]linkID, 500)
	for i := range list {
		list[i] = link
	}
	write(t, d.homes[0].layer("child").path("lower"), formatLower(list))
	write(t, d.homes[0].layer("base").path("link"), string(link))
	err = d.Create(t.Context(), "too-deep", "child", graphdriver.CreateOptions{})
	if !errors.Is(err, errdefs.ErrLimit) {
		t.Errorf("error %v, want ErrLimit", err)
	}
	if ok, err := d.Exists(t.Context(), "too-deep"); ok || err != nil {
		t.Errorf("layer exists: %v, %v", ok, err)
	}
}

func TestQuotaIsRefused(t *testing.T) {
	d := openAt(t, root(t))
	for key, kind := range map[string]error{"size": errdefs.ErrUnsupported, "inodes": errdefs.ErrUnsupported, "colour": errdefs.ErrInvalid} {
		err := d.Create(t.Context(), "x", "", graphdriver.CreateOptions{StorageOpt: map[string]string{key: "1"}})
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", key, err, kind)
		}
	}
	_, err := open(t.Context(), config(root(t), graphdriver.Option{Key: "size", Value: "10G"}), 0)
	if !graphdriver.IsNotSupported(err) {
		t.Errorf("size on ext4: %v, want one of the class not supported", err)
	}
}

// TestMappedCopy: content in diff1, as after the other engines re-owned a copy (4.6).
func TestMappedCopy(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "base", "", testutil.Entry{Name: "low", Body: "1"})
	layer(t, d, "image", "base", testutil.Entry{Name: "f", Body: "template"}, testutil.Entry{Name: "gone", Body: "x"})
	layer(t, d, "copy", "image", testutil.Entry{Name: "f", Body: "re-owned", UID: 7}, testutil.Entry{Name: ".wh.gone"})
	copied := d.homes[0].layer("copy")
	must(t, os.Rename(copied.diff(), copied.path("diff1")))
	must(t, os.Mkdir(copied.diff(), 0o555))
	layer(t, d, "container", "copy", testutil.Entry{Name: "new", Body: "2"})
	for _, id := range []graphdriver.ID{"copy", "container"} {
		for _, readOnly := range []bool{false, true} {
			mounted(t, d, id, graphdriver.MountOptions{ReadOnly: readOnly}, func(dir string) {
				same(t, "content", read(t, filepath.Join(dir, "f")), "re-owned")
				same(t, "low", read(t, filepath.Join(dir, "low")), "1")
				if _, err := os.Lstat(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("deleted file: %v", err)
				}
			})
		}
	}
	// The record's parent of a copy is what its template stands on.
	same(t, "changes of the copy", changes(t, d, "copy", "base"), []string{`Add "/f"`})
	same(t, "changes of the copy to its template", changes(t, d, "copy", "image"), []string{`Modify "/f"`, `Delete "/gone"`})
	same(t, "changes of the container", changes(t, d, "container", "copy"), []string{`Add "/new"`})
	files, err := d.DiffGetter(t.Context(), "copy")
	must(t, err)
	defer files.Close()
	f, err := files.Get("gone") // of the template, whose tar the copy has
	must(t, err)
	must(t, f.Close())
}

// TestAdditionalLayer: content of a layer in another place, by an absolute link (4.11).
func TestAdditionalLayer(t *testing.T) {
	dir := root(t)
	d := openAt(t, dir)
	store := filepath.Join(dir, "store", "layer")
	must(t, os.MkdirAll(filepath.Join(store, "diff"), 0o751))
	must(t, os.Chmod(filepath.Join(store, "diff"), 0o751))
	write(t, filepath.Join(store, "diff", "f"), "from the store")
	must(t, d.Create(t.Context(), "base", "", graphdriver.CreateOptions{}))
	base := d.homes[0].layer("base")
	must(t, os.Remove(base.diff()))
	must(t, os.Symlink(filepath.Join(store, "diff"), base.diff()))
	write(t, base.path("additionallayer"), store)
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	same(t, "root of child", shape(t, d.homes[0].layer("child").dir())[0], "diff 40751 0:0")
	mounted(t, d, "child", graphdriver.MountOptions{}, func(dir string) {
		same(t, "content", read(t, filepath.Join(dir, "f")), "from the store")
	})
	mounted(t, d, "child", graphdriver.MountOptions{Mapping: hundredThousand}, func(dir string) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, "f"), &st))
		same(t, "shifted owner", st.Uid, uint32(100000))
	})
	_, err := d.ApplyDiff(t.Context(), "base", "", strings.NewReader(""), graphdriver.ApplyOptions{})
	if !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("unpack into somebody else's directory: %v", err)
	}
	must(t, d.Remove(t.Context(), "child"))
	must(t, d.Remove(t.Context(), "base"))
	same(t, "content in the store", read(t, filepath.Join(store, "diff", "f")), "from the store")
}

// TestComposefs: such layers can be listed and deleted, and nothing else.
func TestComposefs(t *testing.T) {
	d := openAt(t, root(t))
	layer(t, d, "base", "", testutil.Entry{Name: "f", Body: "1"})
	must(t, d.Create(t.Context(), "child", "base", graphdriver.CreateOptions{}))
	must(t, os.Mkdir(d.homes[0].layer("base").path("composefs-data"), 0o700))
	_, err := d.DiffGetter(t.Context(), "base")
	calls := map[string]error{"DiffGetter": err}
	for _, id := range []graphdriver.ID{"base", "child"} {
		_, calls["Get "+string(id)] = d.Get(t.Context(), id, graphdriver.MountOptions{})
		_, calls["Changes "+string(id)] = d.Changes(t.Context(), id, "", graphdriver.DiffOptions{})
	}
	calls["Create"] = d.Create(t.Context(), "other", "base", graphdriver.CreateOptions{})
	_, calls["ApplyDiff"] = d.ApplyDiff(t.Context(), "base", "", strings.NewReader(""), graphdriver.ApplyOptions{})
	for call, err := range calls {
		if !errors.Is(err, errComposefs) || !errors.Is(err, errdefs.ErrUnsupported) {
			t.Errorf("%s: %v", call, err)
		}
	}
	ids, err := d.List(t.Context())
	must(t, err)
	same(t, "layers", ids, []graphdriver.ID{"base", "child"})
	must(t, d.Remove(t.Context(), "child"))
	must(t, d.Remove(t.Context(), "base"))
}
