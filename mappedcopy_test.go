package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/vfs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// unshifted runs f on each driver without ID-mapped mounts.
func unshifted(t *testing.T, f func(t *testing.T, s *storetest.Store)) {
	t.Helper()
	testutil.RequireRoot(t)
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			f(t, storetest.New(t, driver, func(o *strata.Options) { o.DisableIDMap = true }))
		})
	}
}

// ownedImage makes an image of two layers whose files have several owners.
func ownedImage(t testing.TB, s *storetest.Store) {
	t.Helper()
	importLayer(t, s, "base", "", testutil.Entry{Name: "bin/"},
		testutil.Entry{Name: "bin/su", Body: "1", Mode: 0o4755, UID: 1, GID: 2}, testutil.Entry{Name: "gone", Body: "x"})
	importLayer(t, s, "top", "base", testutil.Entry{Name: ".wh.gone"},
		testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/f", Body: "two", UID: 5, GID: 6})
	createImage(t, s, "img", "top", "localhost/app:1")
}

func mappedContainer(t testing.TB, s *storetest.Store, id string, m strata.MappingOptions) container.Container {
	t.Helper()
	c, err := s.CreateContainer(t.Context(), strata.ContainerOptions{ID: container.ID(id), Image: "img", Mapping: m})
	must(t, err)
	return c
}

func imageOf(t testing.TB, s *storetest.Store, nameOrID string) image.Image {
	t.Helper()
	i, err := s.Image(t.Context(), nameOrID)
	must(t, err)
	return i
}

// TestMappedCopies: a copy for each mapping, used again by the next container, as exact
// as its original, and gone with the image.
func TestMappedCopies(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		ownedImage(t, s)
		for n, host := range []int{5000, 5000, 15000, 25000} {
			id := fmt.Sprint("con", n)
			c := mappedContainer(t, s, id, ranges(host, 1000))
			l, err := s.Layer(ctx, string(c.Layer))
			must(t, err)
			wantEqual(t, "mapping of the layer", host, l.Mapping().UIDs[0].HostID)
			wantEqual(t, "mapping of the container", host, c.Mapping().GIDs[0].HostID)
			root, err := s.Mount(ctx, id, strata.MountOptions{})
			must(t, err)
			wantEqual(t, "owners", []string{fmt.Sprint(host), fmt.Sprint(host + 5), fmt.Sprint(host + 1)},
				[]string{fmt.Sprint(uidOf(t, root)), fmt.Sprint(uidOf(t, filepath.Join(root, "etc/f"))), fmt.Sprint(uidOf(t, filepath.Join(root, "bin/su")))})
			must(t, errOf(s.Unmount(ctx, id, strata.UnmountOptions{})))
			if changes, err := s.Changes(ctx, id, ""); err != nil || len(changes) > 0 {
				t.Errorf("changes of %s: %v, %v", id, changes, err)
			}
		}
		i := imageOf(t, s, "img")
		wantEqual(t, "copies", 3, len(i.MappedLayers))
		for _, id := range i.MappedLayers {
			if got := diff(t, s, string(id), ""); !bytes.Equal(got, diff(t, s, "top", "")) {
				t.Errorf("the copy's tar has %d other bytes", len(got))
			}
		}
		must(t, s.DeleteLayer(ctx, string(mappedContainerLayerParent(t, s, "con3", "con3"))))
		wantEqual(t, "copies after one was deleted", 2, len(imageOf(t, s, "img").MappedLayers))
		for _, id := range []string{"con0", "con1", "con2"} {
			must(t, s.DeleteContainer(ctx, id))
		}
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed", append(slices.Clone(i.MappedLayers[:2]), "top", "base"), removed)
		wantIDs(t, s, nil, nil, nil)
	})
}

// TestCopyThatMayBeListed: when nobody knows whether the image lists a copy by now, the
// copy stays.
func TestCopyThatMayBeListed(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		ownedImage(t, s)
		disable := faults.Enable(faults.Rule{
			Point: "atomicfile.syncdir", Under: filepath.Join(s.GraphRoot(), s.DriverName()+"-images"), Err: unix.EIO,
		})
		_, err := s.CreateContainer(t.Context(), strata.ContainerOptions{Image: "img", Mapping: ranges(5000, 1000)})
		disable()
		if !errors.Is(err, unix.EIO) {
			t.Errorf("error %v, want EIO", err)
		}
		for _, id := range imageOf(t, s, "img").MappedLayers {
			must(t, errOf(s.Layer(t.Context(), string(id))))
		}
		mappedContainer(t, s, "con", ranges(5000, 1000))
		wantEqual(t, "copies", 1, len(imageOf(t, s, "img").MappedLayers))
	})
}

// TestCopyKeepsItsOriginal: a layer on a copy keeps what the copy was made from, too, which
// its record does not tell (on-disk format, 4.3).
func TestCopyKeepsItsOriginal(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		ownedImage(t, s)
		mappedContainer(t, s, "con", ranges(5000, 1000))
		on := mappedContainerLayerParent(t, s, "con", "con")
		createLayer(t, s, "child", string(on))
		removed, err := s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})
		must(t, err)
		wantEqual(t, "removed layers", []layer.ID{}, removed)
		root, err := s.Mount(ctx, "child", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "tree", []string{"bin", "bin/su", "etc", "etc/f"}, paths(t, root))
		must(t, errOf(s.Unmount(ctx, "child", strata.UnmountOptions{})))
	})
}

// mappedContainerLayerParent deletes a container and returns what its layer stood on.
func mappedContainerLayerParent(t testing.TB, s *storetest.Store, id, doomed string) layer.ID {
	t.Helper()
	c, err := s.Container(t.Context(), id)
	must(t, err)
	l, err := s.Layer(t.Context(), string(c.Layer))
	must(t, err)
	must(t, s.DeleteContainer(t.Context(), doomed))
	return l.Parent
}

// TestHostIDsOnAMappedImage: copies work in all directions.
func TestHostIDsOnAMappedImage(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		_, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "mapped", Mapping: ranges(5000, 100)},
			bytes.NewReader(testutil.Tar(t, testutil.Entry{Name: "f", UID: 7})))
		must(t, err)
		createImage(t, s, "img", "mapped")
		inherited := mappedContainer(t, s, "inherits", strata.MappingOptions{})
		wantEqual(t, "inherited", 5000, inherited.Mapping().UIDs[0].HostID)
		mappedContainer(t, s, "host", strata.MappingOptions{HostUIDs: true, HostGIDs: true})
		for id, want := range map[string]uint32{"inherits": 5007, "host": 7} {
			root, err := s.Mount(ctx, id, strata.MountOptions{})
			must(t, err)
			wantEqual(t, "owner in "+id, want, uidOf(t, filepath.Join(root, "f")))
			must(t, errOf(s.Unmount(ctx, id, strata.UnmountOptions{})))
		}
		child, err := s.CreateLayer(ctx, strata.LayerOptions{Parent: "mapped", Mapping: ranges(9000, 100)})
		must(t, err)
		root, err := s.Mount(ctx, string(child.ID), strata.MountOptions{})
		must(t, err)
		wantEqual(t, "owner in a layer with another mapping", uint32(9007), uidOf(t, filepath.Join(root, "f")))
		must(t, errOf(s.Unmount(ctx, string(child.ID), strata.UnmountOptions{})))
	})
}

// TestMappedContainerOnAReadOnlyImage: the image can not be told of a copy, so the
// container's own layer holds it.
func TestMappedContainerOnAReadOnlyImage(t *testing.T) {
	unshifted(t, func(t *testing.T, other *storetest.Store) {
		ctx := t.Context()
		ownedImage(t, other)
		s := storetest.New(t, other.DriverName(), func(o *strata.Options) {
			o.DisableIDMap, o.AdditionalImageStores = true, []string{other.GraphRoot()}
		})
		c := mappedContainer(t, s, "con", ranges(5000, 1000))
		l, err := s.Layer(ctx, string(c.Layer))
		must(t, err)
		wantEqual(t, "parent", layer.ID("top"), l.Parent)
		wantEqual(t, "copies", 0, len(imageOf(t, s, "img").MappedLayers))
		root, err := s.Mount(ctx, "con", strata.MountOptions{})
		must(t, err)
		wantEqual(t, "owner", uint32(5005), uidOf(t, filepath.Join(root, "etc/f")))
		must(t, os.WriteFile(filepath.Join(root, "etc/new"), []byte("x"), 0o600))
		must(t, os.Chown(filepath.Join(root, "etc/new"), 5003, 5004))
		must(t, errOf(s.Unmount(ctx, "con", strata.UnmountOptions{})))
		var names []string
		for _, h := range tarEntries(t, diff(t, s, "con", "")) {
			names = append(names, fmt.Sprintf("%s %d:%d", h.Name, h.Uid, h.Gid))
		}
		wantEqual(t, "diff", []string{"etc/ 0:0", "etc/new 3:4"}, names)
		must(t, s.DeleteContainer(ctx, "con"))
	})
}

// TestConcurrentMappedContainers: many containers with one new mapping share one copy.
func TestConcurrentMappedContainers(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		ownedImage(t, s)
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				_, err := s.CreateContainer(t.Context(), strata.ContainerOptions{ID: container.ID(fmt.Sprint("con", n)), Image: "img", Mapping: ranges(5000, 1000)})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		wantEqual(t, "copies", 1, len(imageOf(t, s, "img").MappedLayers))
		layers, _, _ := ids(t, s)
		wantEqual(t, "layers", 2+1+6, len(layers))
	})
}

// TestNoCopies: a driver that neither shifts nor copies says so, instead of showing the
// wrong owners.
func TestNoCopies(t *testing.T) {
	testutil.RequireRoot(t)
	s := storetest.New(t, "plain", func(o *strata.Options) {
		o.Registry = graphdriver.NewRegistry()
		must(t, o.Registry.Register("plain", openPlain))
	})
	ownedImage(t, s)
	for what, err := range map[string]error{
		"container": errOf(s.CreateContainer(t.Context(), strata.ContainerOptions{Image: "img", Mapping: ranges(5000, 10)})),
		"layer":     errOf(s.CreateLayer(t.Context(), strata.LayerOptions{Parent: "base", Mapping: ranges(5000, 10)})),
	} {
		if !errors.Is(err, errdefs.ErrUnsupported) || errdefs.Hint(err) == "" {
			t.Errorf("%s: %v, hint %q", what, err, errdefs.Hint(err))
		}
	}
}

// plainDriver is vfs without optional powers but listing.
type plainDriver struct {
	graphdriver.Driver
	graphdriver.Lister
}

func (plainDriver) Name() string { return "plain" }

func openPlain(ctx context.Context, cfg graphdriver.Config) (graphdriver.Driver, error) {
	d, err := vfs.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return plainDriver{d, d.(graphdriver.Lister)}, nil
}

// TestCopiesEqualTheOtherEngines: on equal stores containers-storage and strata make the
// same records and the same trees.
func TestCopiesEqualTheOtherEngines(t *testing.T) {
	unshifted(t, func(t *testing.T, ours *storetest.Store) {
		theirs := storetest.New(t, ours.DriverName(), func(o *strata.Options) { o.DisableIDMap = true })
		e := engines(t, theirs, "containers-storage")
		noShifting(t, theirs)
		for _, s := range []*storetest.Store{ours, theirs} {
			ownedImage(t, s)
		}
		mappedContainer(t, ours, "con1", ranges(5000, 1000))
		mappedContainer(t, ours, "con2", ranges(5000, 1000))
		for _, id := range []string{"con1", "con2"} {
			e.storage("create-container", "--id", id, "--uidmap", "0:5000:1000", "--gidmap", "0:5000:1000", "img")
		}
		ignore := cmp.Options{
			cmpopts.IgnoreFields(layer.Record{}, "ID", "Parent", "Created"), cmpopts.IgnoreFields(layer.Layer{}, "MountPath", "MountCount"),
			cmpopts.IgnoreFields(container.Record{}, "Layer", "Created"), cmpopts.IgnoreUnexported(strata.IDRange{}),
		}
		want, err := theirs.Snapshot(t.Context())
		must(t, err)
		got, err := ours.Snapshot(t.Context())
		must(t, err)
		wantEqual(t, "layers", want.Layers, got.Layers, ignore)
		wantEqual(t, "containers", want.Containers, got.Containers, ignore)
		wantEqual(t, "copies", len(want.Images[0].MappedLayers), len(got.Images[0].MappedLayers))
		wantEqual(t, "parent of the copy", want.Layers[2].Parent, got.Layers[2].Parent)
		// Their hard links touch directories, and they leave root directories alone.
		wantEqual(t, "tree", mountedTree(t, theirs, "con2"), mountedTree(t, ours, "con2"))
	})
}

// noShifting makes engines believe that the kernel lacks ID-mapped mounts, by the cache
// in which they keep what they found out.
func noShifting(t testing.TB, s *storetest.Store) {
	t.Helper()
	dir := filepath.Join(s.RunRoot(), s.DriverName())
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "idmapped-lower-dir-false"), nil, 0o600))
}

func mountedTree(t testing.TB, s *storetest.Store, id string) []string {
	t.Helper()
	root, err := s.Mount(t.Context(), id, strata.MountOptions{})
	must(t, err)
	lines := testutil.Tree(t, root, testutil.IgnoreRoot, testutil.IgnoreMtime)
	must(t, errOf(s.Unmount(t.Context(), id, strata.UnmountOptions{})))
	return lines
}

// TestPodmanMaps: podman's containers stand on strata's copy, and strata's on podman's.
func TestPodmanMaps(t *testing.T) {
	unshifted(t, func(t *testing.T, s *storetest.Store) {
		e := engines(t, s, "podman")
		noShifting(t, s)
		ctx := t.Context()
		i := ociImage(t, s, "localhost/strata:1", twoLayers(t)...)
		create := func(name string, m strata.MappingOptions) {
			must(t, errOf(s.CreateContainer(ctx, strata.ContainerOptions{Names: []string{name}, Image: string(i.ID), Mapping: m})))
		}
		podman := func(name, host string) {
			e.podman("create", "--name", name, "--network=none", "--uidmap", "0:"+host+":1000", "--gidmap", "0:"+host+":1000", "localhost/strata:1")
		}
		create("ours1", ranges(5000, 1000))
		podman("theirs1", "5000")
		podman("theirs2", "15000")
		create("ours2", ranges(15000, 1000))
		copies := imageOf(t, s, string(i.ID)).MappedLayers
		wantEqual(t, "copies", 2, len(copies))
		for name, want := range map[string]layer.ID{"ours1": copies[0], "theirs1": copies[0], "ours2": copies[1], "theirs2": copies[1]} {
			c, err := s.Container(ctx, name)
			must(t, err)
			l, err := s.Layer(ctx, string(c.Layer))
			must(t, err)
			wantEqual(t, name+" stands on", want, l.Parent)
		}
		if path := e.podman("mount", "theirs1"); uidOf(t, filepath.Join(path, "etc/f")) != 5005 {
			t.Error("podman shows another owner")
		}
		e.podman("unmount", "theirs1")
		e.podman("rm", "theirs1", "theirs2")
		for _, name := range []string{"ours1", "ours2"} {
			must(t, s.DeleteContainer(ctx, name))
		}
		e.podman("rmi", "localhost/strata:1")
		wantIDs(t, s, nil, nil, nil)
	})
}

// TestDriverLayerOnADriverLayer: a parent that only the driver has is the driver's business.
func TestDriverLayerOnADriverLayer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		s.Tolerate()
		ctx := t.Context()
		for _, l := range []struct{ id, parent string }{{"x1", ""}, {"x2", "x1"}, {"x2", "x1"}} {
			id, err := s.CreateDriverLayer(ctx, strata.LayerOptions{ID: layer.ID(l.id), Parent: l.parent})
			must(t, err)
			wantEqual(t, "ID", layer.ID(l.id), id)
		}
		found, err := s.DriverLayers(ctx)
		must(t, err)
		wantEqual(t, "driver's layers", []layer.ID{"x1", "x2"}, found)
		_, err = s.CreateDriverLayer(ctx, strata.LayerOptions{ID: "x3", Parent: "none"})
		if !errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, layer.ErrUnknown) || !strings.Contains(err.Error(), "none") {
			t.Errorf("unknown parent: %v", err)
		}
		must(t, s.Driver().Remove(ctx, "x2"))
		must(t, s.Driver().Remove(ctx, "x1"))
	})
}
