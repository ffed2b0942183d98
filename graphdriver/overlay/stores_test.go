package overlay

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/internal/testutil"
)

// TestImageStore: layers of images go to the image store, with their links, and everything else
// finds them there.
func TestImageStore(t *testing.T) {
	dir := root(t)
	cfg := config(filepath.Join(dir, "graph"))
	cfg.ImageHome = filepath.Join(dir, "images", Name)
	d, err := open(t.Context(), cfg, mountapi.Auto)
	must(t, err)
	image := graphdriver.CreateOptions{Image: true}
	st, err := d.Stage(t.Context(), "", image)
	must(t, err)
	_, err = st.ApplyDiff(t.Context(), strings.NewReader(string(testutil.Tar(t, testutil.Entry{Name: "f", Body: "1"}))), graphdriver.ApplyOptions{})
	must(t, err)
	must(t, st.Adopt(t.Context(), "base"))
	must(t, d.Create(t.Context(), "top", "base", image))
	must(t, d.Create(t.Context(), "container", "top", graphdriver.CreateOptions{}))
	same(t, "image store", shapeNames(t, cfg.ImageHome), []string{"base", "l", "tempdirs", "top"})
	same(t, "graph root", shapeNames(t, cfg.Home), []string{".has-mount-program", "container", "l", "tempdirs"})
	same(t, "links in image store", len(shapeNames(t, filepath.Join(cfg.ImageHome, "l"))), 2)
	same(t, "links in graph root", len(shapeNames(t, filepath.Join(cfg.Home, "l"))), 1)
	mounted(t, d, "container", graphdriver.MountOptions{}, func(path string) {
		same(t, "mount point", path, filepath.Join(cfg.Home, "container/merged"))
		same(t, "content", read(t, filepath.Join(path, "f")), "1")
		write(t, filepath.Join(path, "g"), "2")
	})
	for _, id := range []graphdriver.ID{"base", "top"} {
		mounted(t, d, id, graphdriver.MountOptions{}, func(path string) {
			same(t, "mount point", path, filepath.Join(cfg.RunHome, string(id), "merged"))
			same(t, "content", read(t, filepath.Join(path, "f")), "1")
			if err := os.WriteFile(filepath.Join(path, "g"), nil, 0o600); !errors.Is(err, unix.EROFS) {
				t.Errorf("write to layer %s of an image: %v", id, err)
			}
			if got, is, err := d.Mounted(t.Context(), id); got != path || !is || err != nil {
				t.Errorf("Mounted(%s) = %s, %v, %v", id, got, is, err)
			}
		})
		if _, err := os.Stat(filepath.Join(cfg.RunHome, string(id))); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("directory in the run root after unmount: %v", err)
		}
	}
	same(t, "changes", changes(t, d, "container", "top"), []string{`Add "/g"`})
	ids, err := d.List(t.Context())
	must(t, err)
	same(t, "layers", ids, []graphdriver.ID{"base", "container", "top"})
	for _, id := range []graphdriver.ID{"container", "top", "base"} {
		must(t, d.Remove(t.Context(), id))
	}
	same(t, "links in image store", shapeNames(t, filepath.Join(cfg.ImageHome, "l")), []string(nil))
	must(t, d.Cleanup(t.Context()))
}

// TestSplitStoreOfAnotherEngine mounts across a separate image store that strata did not make.
func TestSplitStoreOfAnotherEngine(t *testing.T) {
	graph := unpack(t, "split-overlay")
	cfg := config(graph)
	cfg.ImageHome = filepath.Join(graph, "../images", Name)
	d, err := open(t.Context(), cfg, mountapi.Auto)
	must(t, err)
	ids, err := d.List(t.Context())
	must(t, err)
	for _, id := range ids {
		mounted(t, d, id, graphdriver.MountOptions{}, func(dir string) {
			// Whiteouts of base layers show as names without files here, so only the top is read.
			entries, err := os.ReadDir(dir)
			must(t, err)
			if len(entries) == 0 {
				t.Errorf("layer %s is empty", id)
			}
		})
	}
	same(t, "layers", len(ids), 7)
	must(t, d.Cleanup(t.Context()))
}

// TestAdditionalStore: a store on a read-only mount is used without being written to, even
// when its links are lost.
func TestAdditionalStore(t *testing.T) {
	dir := root(t)
	other := openAt(t, filepath.Join(dir, "other"))
	layer(t, other, "base", "", testutil.Entry{Name: "f", Body: "1"})
	layer(t, other, "top", "base", testutil.Entry{Name: "g", Body: "2"})
	must(t, other.Cleanup(t.Context()))
	for _, links := range []bool{true, false} {
		if !links {
			must(t, os.RemoveAll(filepath.Join(dir, "other/overlay/l")))
		}
		medium := filepath.Join(dir, "medium")
		must(t, os.MkdirAll(medium, 0o755))
		testutil.BindReadOnly(t, filepath.Join(dir, "other"), medium)
		before := testutil.Tree(t, medium)
		cfg := config(filepath.Join(dir, "graph"))
		cfg.AdditionalHomes = []string{filepath.Join(medium, Name), filepath.Join(dir, "gone", Name)}
		d, err := open(t.Context(), cfg, mountapi.Auto)
		must(t, err)
		useAdditional(t, d, cfg)
		must(t, d.Cleanup(t.Context()))
		same(t, "read-only store", testutil.Tree(t, medium), before)
		must(t, mountapi.Unmount(medium))
	}
}

func useAdditional(t *testing.T, d *driver, cfg graphdriver.Config) {
	t.Helper()
	must(t, d.Create(t.Context(), "container", "top", graphdriver.CreateOptions{}))
	mounted(t, d, "container", graphdriver.MountOptions{}, func(path string) {
		same(t, "files", names(t, path), []string{`"f" file`, `"g" file`})
		write(t, filepath.Join(path, "h"), "3")
	})
	mounted(t, d, "base", graphdriver.MountOptions{ReadOnly: true}, func(path string) {
		same(t, "mount point", path, filepath.Join(cfg.RunHome, "base/merged"))
		same(t, "files", names(t, path), []string{`"f" file`})
	})
	mounted(t, d, "top", graphdriver.MountOptions{Mapping: hundredThousand, ReadOnly: true}, func(path string) {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(path, "g"), &st))
		same(t, "shifted owner", []uint32{st.Uid, st.Gid}, []uint32{100000, 200000})
	})
	same(t, "changes", changes(t, d, "container", "top"), []string{`Add "/h"`})
	same(t, "changes in the other store", changes(t, d, "top", "base"), []string{`Add "/g"`})
	if _, err := d.Trash(t.Context(), "top"); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("remove: %v", err)
	}
	if _, err := d.ApplyDiff(t.Context(), "top", "base", strings.NewReader(""), graphdriver.ApplyOptions{}); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("apply: %v", err)
	}
	must(t, d.Create(t.Context(), "top", "", graphdriver.CreateOptions{})) // comes first from now on
	mounted(t, d, "top", graphdriver.MountOptions{}, func(path string) {
		same(t, "mount point", path, filepath.Join(cfg.Home, "top/merged"))
		same(t, "files", names(t, path), []string(nil))
	})
	must(t, d.Remove(t.Context(), "top"))
	ids, err := d.List(t.Context())
	must(t, err)
	same(t, "own layers", ids, []graphdriver.ID{"container"})
	must(t, d.Remove(t.Context(), "container"))
}
