package strata_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// The IDs that operations give and use; they look like the engines'.
const (
	zeros      = "000000000000000000000000000000000000000000000000000000000000"
	baseID     = "ba5e" + zeros
	topID      = "0070" + zeros
	imgID      = "1a9e" + zeros
	otherID    = "0de5" + zeros
	conID      = "c000" + zeros
	conLayerID = "c001" + zeros
	spareID    = "5a5e" + zeros
	newID      = "0e00" + zeros
	newLayerID = "0e01" + zeros
	badID      = "bad0" + zeros
	badImgID   = "bad1" + zeros
)

// walkNames are the short names of these.
var walkNames = map[string]string{
	baseID: "base", topID: "top", imgID: "img", otherID: "other", conID: "con", conLayerID: "conlayer",
	spareID: "spare", newID: "new", newLayerID: "newlayer", badID: "bad", badImgID: "badimg",
}

// newScene makes what all operations start from: an image of two layers with a
// container on it, an image of the lower one of these, and a layer that nothing needs.
func newScene(t *testing.T, driver string) scene {
	t.Helper()
	dir, err := os.MkdirTemp(memory(), "scene") //nolint:usetesting // a short name
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	sc := scene{driver: driver, dir: dir, place: memory()}
	s := sc.open(t, dir)
	ctx := context.Background()
	importLayer(t, s, baseID, "", entry("f", "base"), entry("gone", "base"))
	importLayer(t, s, topID, baseID, entry("g", "top"), entry(".wh.gone", ""))
	_, err = s.CreateImage(ctx, image.CreateOptions{
		ID: imgID, TopLayer: topID, Names: []string{"app:1", "app:latest"},
		BigData: []image.BigDatum{{Key: "sha256:c", Data: []byte("config")}, {Key: "manifest", Data: []byte("{}")}},
	})
	must(t, err)
	_, err = s.CreateImage(ctx, image.CreateOptions{
		ID: otherID, TopLayer: baseID, Names: []string{"other:1"}, BigData: []image.BigDatum{{Key: "manifest", Data: []byte("{ }")}},
	})
	must(t, err)
	_, err = s.CreateContainer(ctx, strata.ContainerOptions{
		ID: conID, Image: imgID, LayerID: conLayerID, Names: []string{"con1"}, BigData: []container.BigDatum{{Key: "k", Data: []byte("v")}},
	})
	must(t, err)
	_, err = s.CreateLayer(ctx, strata.LayerOptions{
		ID: spareID, Parent: baseID, Names: []string{"spare1"}, BigData: []layer.Datum{{Key: "k", Data: []byte("v")}},
	})
	must(t, err)
	sc.close(t, s)
	return sc
}

// walkTar is a layer's tar.
func walkTar(names ...string) []byte {
	var t testing.T // only reports, and only what can not happen here
	var entries []testutil.Entry
	for _, name := range names {
		entries = append(entries, entry(name, "body of "+name))
	}
	return testutil.Tar(&t, entries...)
}

// walkOps are all operations.
func walkOps() []walkOp {
	var all []walkOp
	for _, some := range [][]walkOp{makingOps(), imageOps(), changingOps(), dataOps(), deletingOps(), mountingOps(), mendingOps(), chainOps()} {
		all = append(all, some...)
	}
	return all
}

func makingOps() []walkOp {
	return []walkOp{
		{name: "create layer", late: errdefs.ErrExists, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.CreateLayer(ctx, strata.LayerOptions{
				ID: newID, Parent: topID, Names: []string{"new1"}, BigData: []layer.Datum{{Key: "k", Data: []byte("v")}},
			}))
		}},
		{name: "import layer", late: errdefs.ErrExists, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.ImportLayer(ctx, strata.LayerOptions{
				ID: newID, Parent: topID, Names: []string{"new1"}, BigData: []layer.Datum{{Key: "k", Data: []byte("v")}},
			}, bytes.NewReader(walkTar("n", ".wh.f"))))
		}},
		{name: "import stack", partial: true, logs: true, run: importStack},
		{name: "create image", late: errdefs.ErrExists, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.CreateImage(ctx, image.CreateOptions{
				ID: newID, TopLayer: topID, Names: []string{"app:latest", "app:2"}, MoveNames: true, Metadata: "{}",
				BigData: []image.BigDatum{{Key: "sha256:c", Data: []byte("config")}, {Key: "manifest", Data: []byte("{}")}},
			}))
		}},
		{name: "create container", late: errdefs.ErrExists, run: createCon(strata.MappingOptions{})},
		{name: "create container with other owners", late: errdefs.ErrExists, partial: true,
			run: createCon(strata.MappingOptions{
				UIDs: []strata.IDRange{{ContainerID: 0, HostID: 100000, Size: 1000}},
				GIDs: []strata.IDRange{{ContainerID: 0, HostID: 100000, Size: 1000}},
			})},
	}
}

// importStack imports two layers. Drivers that can not take them together take one after
// the other, and an error leaves the first.
func importStack(ctx context.Context, s *strata.Store) error {
	tars := [][]byte{walkTar("one"), walkTar("two", ".wh.one")}
	var stack []strata.StackLayer
	for _, tar := range tars {
		stack = append(stack, strata.StackLayer{
			Expect: layer.DiffID(testutil.Digest(tar)),
			Open:   func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil },
		})
	}
	err := errOf(s.ImportStack(ctx, strata.StackOptions{Parent: baseID}, stack))
	if errors.Is(err, layer.ErrDuplicateID) {
		return nil // somebody else has stored them, which is as well
	}
	return err
}

// imageOps make images in several changes, and write them to files; what a failed one
// leaves of layers, garbage collection takes.
func imageOps() []walkOp {
	epoch := time.Unix(1, 0)
	base, more, last := walkTar("base"), walkTar("more"), walkTar("last", ".wh.more")
	load := func(layers ...[]byte) func(ctx context.Context, s *strata.Store) error {
		return func(ctx context.Context, s *strata.Store) error {
			return loadWalk(ctx, s, "localhost/loaded:1", layers...)
		}
	}
	loaded := func(t *testing.T, s *storetest.Store) {
		t.Helper()
		must(t, load(base, more)(t.Context(), s.Store))
	}
	return []walkOp{
		{name: "import image", partial: true, logs: true, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(oci.Import(ctx, s, bytes.NewReader(walkTar("root")), oci.ImportOptions{
				Names: []string{"localhost/imported:1"}, Created: epoch,
			}))
		}},
		{name: "commit container", partial: true, logs: true, prepare: func(t *testing.T, s *storetest.Store) {
			loaded, err := oci.Import(t.Context(), s.Store, bytes.NewReader(walkTar("root")), oci.ImportOptions{Created: epoch})
			must(t, err)
			_, err = s.CreateContainer(t.Context(), strata.ContainerOptions{ID: newID, Image: string(loaded.ID), LayerID: newLayerID})
			must(t, err)
			must(t, errOf(s.ApplyDiff(t.Context(), newLayerID, bytes.NewReader(walkTar("changed")))))
		}, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(oci.Commit(ctx, s, newID, oci.CommitOptions{
				Names: []string{"localhost/committed:1"}, Created: epoch, Epoch: epoch,
			}))
		}},
		{name: "load image", partial: true, logs: true, run: load(base, more)},
		{name: "load newer image", partial: true, logs: true, prepare: loaded, run: load(base, last)},
		{name: "save image", prepare: loaded, run: saveWalk(oci.DockerArchive)},
		{name: "save image's layout", prepare: loaded, run: saveWalk(oci.OCIDir)},
	}
}

// loadWalk loads an image of the layers.
func loadWalk(ctx context.Context, s *strata.Store, name string, layers ...[]byte) error {
	var t testing.T // as in walkTar
	src, err := oci.Open(ctx, "-", bytes.NewReader(testutil.DockerArchive(&t, name, layers...)), oci.OpenOptions{TempDir: memory()})
	if err != nil {
		return err
	}
	_, err = oci.Load(ctx, s, src, oci.LoadOptions{})
	return errors.Join(err, src.Close())
}

// errOutput is what is wrong with a file that a save made.
var errOutput = errors.New("saved")

// saveWalk saves an image beside the store's roots. What is there afterwards is the whole
// image or, after an error, nothing.
func saveWalk(format oci.Format) func(ctx context.Context, s *strata.Store) error {
	return func(ctx context.Context, s *strata.Store) error {
		out := filepath.Join(filepath.Dir(s.GraphRoot()), "out")
		if err := os.Mkdir(out, 0o700); err != nil {
			return err
		}
		defer os.RemoveAll(out)
		path := filepath.Join(out, "image")
		err := oci.SaveFile(ctx, s, path, []oci.Selected{{Image: "localhost/loaded:1"}}, oci.SaveOptions{Format: format})
		entries, readErr := os.ReadDir(out)
		if readErr != nil || err != nil && len(entries) == 0 {
			return errors.Join(err, readErr)
		}
		src, readErr := oci.Open(context.Background(), path, nil, oci.OpenOptions{})
		if readErr != nil || len(entries) != 1 {
			return fmt.Errorf("%w: %v after %w: %w", errOutput, entries, err, readErr)
		}
		return errors.Join(err, src.Close())
	}
}

func createCon(m strata.MappingOptions) func(ctx context.Context, s *strata.Store) error {
	return func(ctx context.Context, s *strata.Store) error {
		return errOf(s.CreateContainer(ctx, strata.ContainerOptions{
			ID: newID, Image: imgID, LayerID: newLayerID, Names: []string{"new1"}, Mapping: m,
			BigData: []container.BigDatum{{Key: "k", Data: []byte("v")}},
		}))
	}
}

func changingOps() []walkOp {
	apply := func(id string) func(ctx context.Context, s *strata.Store) error {
		return func(ctx context.Context, s *strata.Store) error {
			return errOf(s.ApplyDiff(ctx, id, bytes.NewReader(walkTar("applied", ".wh.f"))))
		}
	}
	return []walkOp{
		{name: "apply diff", run: apply(spareID)},
		{name: "apply another diff", run: apply(topID)},
		{name: "set names of image", run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.SetNames(ctx, imgID, []string{"other:1", "app:3"}))
		}},
		{name: "add names to layer", run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.AddNames(ctx, topID, []string{"spare1", "top1"}))
		}},
		{name: "remove names of container", run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.RemoveNames(ctx, conID, []string{"con1"}))
		}},
		{name: "set metadata of layer", run: setMetadata(topID)},
		{name: "set metadata of image", run: setMetadata(imgID)},
		{name: "set metadata of container", run: setMetadata(conID)},
	}
}

func setMetadata(id string) func(ctx context.Context, s *strata.Store) error {
	return func(ctx context.Context, s *strata.Store) error { return s.SetMetadata(ctx, id, "changed") }
}

func dataOps() (ops []walkOp) {
	for _, o := range []struct {
		kind         strata.Kind
		id, old, new string
	}{
		{strata.KindLayer, spareID, "k", "added"},
		{strata.KindImage, imgID, "manifest", "added"},
		{strata.KindContainer, conID, "k", "added"},
	} {
		set := func(key string) func(ctx context.Context, s *strata.Store) error {
			return func(ctx context.Context, s *strata.Store) error {
				return s.SetBigData(ctx, o.kind, o.id, key, []byte(`{"another": "value"}`))
			}
		}
		ops = append(ops,
			walkOp{name: "replace data of " + o.kind.String(), run: set(o.old)},
			walkOp{name: "add data to " + o.kind.String(), run: set(o.new)})
	}
	return append(ops, walkOp{name: "set file of container", run: func(ctx context.Context, s *strata.Store) error {
		return s.SetContainerFile(ctx, conID, "hosts", []byte("127.0.0.1"))
	}})
}

func deletingOps() []walkOp {
	return []walkOp{
		{name: "delete layer", late: strata.ErrNotALayer, run: func(ctx context.Context, s *strata.Store) error {
			return s.DeleteLayer(ctx, spareID)
		}},
		{name: "delete image", late: strata.ErrNotAnImage, prepare: deleteCon, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.DeleteImage(ctx, imgID, strata.DeleteImageOptions{}))
		}},
		{name: "delete container", late: strata.ErrNotAContainer, run: func(ctx context.Context, s *strata.Store) error {
			return s.DeleteContainer(ctx, conID)
		}},
		{name: "delete anything", late: layer.ErrUnknown, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.Delete(ctx, conID))
		}},
		{name: "wipe", partial: true, run: func(ctx context.Context, s *strata.Store) error { return s.Wipe(ctx) }},
	}
}

func deleteCon(t *testing.T, s *storetest.Store) {
	t.Helper()
	must(t, s.DeleteContainer(t.Context(), conID))
}

func mountingOps() []walkOp {
	mount := func(ctx context.Context, s *strata.Store) error {
		return errOf(s.Mount(ctx, conID, strata.MountOptions{}))
	}
	before := func(t *testing.T, s *storetest.Store) { must(t, mount(t.Context(), s.Store)) }
	return []walkOp{
		{name: "mount", once: true, run: mount},
		{name: "mount once more", once: true, before: before, run: mount},
		{name: "mount image", once: true, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.MountImage(ctx, imgID, strata.MountOptions{}))
		}},
		{name: "unmount", partial: true, before: before, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.Unmount(ctx, conID, strata.UnmountOptions{}))
		}},
		{name: "delete mounted container", late: strata.ErrNotAContainer, before: before, partial: true, run: func(ctx context.Context, s *strata.Store) error {
			return s.DeleteContainer(ctx, conID)
		}},
		{name: "shutdown", partial: true, miscounts: true, before: before, run: func(ctx context.Context, s *strata.Store) error {
			if _, err := s.Shutdown(ctx, strata.ShutdownOptions{Force: true}); !isMounted(err) {
				return err
			}
			return nil
		}},
	}
}

func mendingOps() []walkOp {
	return []walkOp{
		{name: "collect garbage", prepare: func(t *testing.T, s *storetest.Store) {
			_, others := litter(t, s)
			for _, path := range others {
				must(t, os.RemoveAll(path))
			}
		}, run: collect},
		{name: "finish what others began", lenient: true, prepare: leaveUnfinished, run: func(ctx context.Context, s *strata.Store) error {
			return errOf(s.Layers(ctx))
		}},
		{name: "repair", prepare: damage, partial: true, run: repair},
		{name: "heal layer", prepare: func(t *testing.T, s *storetest.Store) {
			must(t, os.WriteFile(filepath.Join(tamper(t, s, topID), "g"), []byte("TOP"), 0o644))
		}, run: func(ctx context.Context, s *strata.Store) error {
			return s.HealLayer(ctx, topID, bytes.NewReader(topTar()))
		}},
	}
}

// topTar is what the layer top came from.
func topTar() []byte {
	var t testing.T // as in walkTar
	return testutil.Tar(&t, entry("g", "top"), entry(".wh.gone", ""))
}

// collect fails if something stays.
func collect(ctx context.Context, s *strata.Store) error {
	report, err := s.GC(ctx, strata.GCOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range report.Failed {
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
}

// leaveUnfinished leaves a layer and a note of a process that died.
func leaveUnfinished(t *testing.T, s *storetest.Store) {
	t.Helper()
	note, err := unfinished.Begin(filepath.Join(s.GraphRoot(), "strata", "unfinished"), unfinished.Change{
		Driver: s.DriverName(), Layers: []string{spareID},
	})
	must(t, err)
	must(t, note.Close())
}

// damage leaves what a repair cures: a data item that differs from its record, garbage, and
// a layer that only removing cures.
func damage(t *testing.T, s *storetest.Store) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", conID, "k"), []byte("changed"), 0o600))
	must(t, os.MkdirAll(filepath.Join(s.GraphRoot(), s.DriverName()+"-images", strayID, "sub"), 0o700))
	importLayer(t, s, badID, baseID, entry("g", "bad"))
	createImage(t, s, badImgID, badID, "bad:1")
	must(t, os.WriteFile(filepath.Join(tamper(t, s, badID), "g"), []byte("BAD"), 0o644))
}

// repair fails if something is left.
func repair(ctx context.Context, s *strata.Store) error {
	report, err := s.Check(ctx, strata.CheckOptions{})
	if err != nil {
		return err
	}
	done, err := s.Repair(ctx, report, strata.RepairOptions{Remove: true, Discard: true})
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range done.Left {
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
}

// chainOps are those of the layers' counted references. A reference ends with the store.
func chainOps() []walkOp {
	chain := layer.ChainID(testutil.Digest(walkTar("n")))
	register := func(ctx context.Context, s *strata.Store) error {
		return errOf(s.Substores().Chains.Register(ctx, bytes.NewReader(walkTar("n")), ""))
	}
	create := func(ctx context.Context, s *strata.Store) error {
		top, err := s.Layer(ctx, topID)
		if err != nil {
			return err
		}
		return errOf(s.Substores().Chains.CreateRWLayer(ctx, "rw", top.Chain, layer.RWOptions{Init: func(_ context.Context, path string) error {
			return os.WriteFile(filepath.Join(path, "init"), nil, 0o600)
		}}))
	}
	prepared := func(steps ...func(ctx context.Context, s *strata.Store) error) func(t *testing.T, s *storetest.Store) {
		return func(t *testing.T, s *storetest.Store) {
			for _, step := range steps {
				must(t, step(t.Context(), s.Store))
			}
		}
	}
	return []walkOp{
		{name: "register layer", keep: true, run: register},
		{name: "release layer", keep: true, late: layer.ErrNoLayer, prepare: prepared(register), run: func(ctx context.Context, s *strata.Store) error {
			ref, err := s.Substores().Chains.Get(ctx, chain)
			if err != nil {
				return err
			}
			return errOf(s.Substores().Chains.Release(ctx, ref))
		}},
		{name: "create read-write layer", late: layer.ErrMountExists, run: create},
		{name: "release read-write layer", late: layer.ErrNoMount, prepare: prepared(create), run: func(ctx context.Context, s *strata.Store) error {
			ref, err := s.Substores().Chains.GetRWLayer(ctx, "rw")
			if err != nil {
				return err
			}
			return errOf(s.Substores().Chains.ReleaseRWLayer(ctx, ref))
		}},
	}
}
