package layer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// recorded reports which record files name the layer.
func recorded(t testing.TB, id ID, files map[string]string) []string {
	t.Helper()
	var in []string
	for name, path := range files {
		data, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if strings.Contains(string(data), `"id":"`+string(id)+`"`) {
			in = append(in, name)
		}
	}
	slices.Sort(in)
	return in
}

func TestSeparateImageStore(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		e.image = filepath.Join(filepath.Dir(e.graph), "images")
		s := e.open(t)
		ctx := context.Background()
		st, err := s.Stage(ctx, StageOptions{Image: true}, bytes.NewReader(baseTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		var l Layer
		write(t, s, func(tx *WriteTx) {
			if l, err = tx.Adopt(ctx, st, CreateOptions{Names: []string{"image"}}); err != nil {
				t.Fatal(err)
			}
		})
		c := create(t, s, CreateOptions{Parent: l.ID, Names: []string{"container"}})
		files := map[string]string{
			"graph": filepath.Join(e.graphDir(), stableName),
			"image": filepath.Join(layersDir(e.image, e.driver), stableName),
		}
		if in := recorded(t, l.ID, files); !slices.Equal(in, []string{"image"}) {
			t.Errorf("image layer is recorded in %v", in)
		}
		if in := recorded(t, c.ID, files); !slices.Equal(in, []string{"graph"}) {
			t.Errorf("container layer is recorded in %v", in)
		}
		if !exists(filepath.Join(e.graphDir(), string(l.ID)+splitSuffix)) {
			t.Error("the tar-split is not in the graph root")
		}
		if ids := listIDs(t, s); !slices.Equal(ids, []ID{c.ID, l.ID}) {
			t.Errorf("order %v", ids)
		}
		if got, err := diff(s, l.ID, "", plain); err != nil || !bytes.Equal(got, baseTar(t)) {
			t.Errorf("diff: %v", err)
		}
		path, err := s.Mount(ctx, c.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !exists(filepath.Join(path, "etc/hello")) {
			t.Error("the mounted container lacks the image's files")
		}
		if _, err := s.Unmount(ctx, c.ID, UnmountOptions{}); err != nil {
			t.Error(err)
		}
		write(t, s, func(tx *WriteTx) {
			// Names are unique over all files.
			if _, err := tx.Create(ctx, CreateOptions{Names: []string{"image"}}); !errors.Is(err, ErrDuplicateName) {
				t.Errorf("name of the other file: %v", err)
			}
		})
		remove(t, s, c.ID, l.ID)
	})
}

func TestTransientStore(t *testing.T) {
	e := newEnv(t, "vfs")
	e.transient = true
	s := e.open(t)
	stable := create(t, s, CreateOptions{})
	container := create(t, s, CreateOptions{Parent: stable.ID, Volatile: true})
	files := map[string]string{
		"stable": filepath.Join(e.graphDir(), stableName), "run": filepath.Join(e.runDir(), volatileName),
		"graph": filepath.Join(e.graphDir(), volatileName),
	}
	if in := recorded(t, stable.ID, files); !slices.Equal(in, []string{"stable"}) {
		t.Errorf("stable layer is recorded in %v", in)
	}
	if in := recorded(t, container.ID, files); !slices.Equal(in, []string{"run"}) {
		t.Errorf("container layer is recorded in %v", in)
	}
	if ids := listIDs(t, s); !slices.Equal(ids, []ID{stable.ID, container.ID}) {
		t.Errorf("layers %v", ids)
	}
	remove(t, s, container.ID)
}

func TestVolatileLayers(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	own := create(t, s, CreateOptions{ID: "own", Volatile: true})
	create(t, s, CreateOptions{ID: "foreign"})
	// Another engine keeps its volatile layer in the file of its own.
	stablePath, volatilePath := filepath.Join(e.graphDir(), stableName), filepath.Join(e.graphDir(), volatileName)
	data := readRecords(t, e)
	at := strings.Index(data, `,{"id":"foreign"`)
	writeRecords(t, e, data[:at]+"]")
	if err := os.WriteFile(volatilePath, []byte("["+data[at+1:]), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, s, func(tx *WriteTx) {
		for _, id := range []ID{"own", "foreign"} {
			if err := tx.SetMetadata(id, "changed"); err != nil {
				t.Error(err)
			}
		}
	})
	files := map[string]string{"stable": stablePath, "volatile": volatilePath}
	if in := recorded(t, own.ID, files); !slices.Equal(in, []string{"stable"}) {
		t.Errorf("strata's own volatile layer is recorded in %v", in)
	}
	if in := recorded(t, "foreign", files); !slices.Equal(in, []string{"volatile"}) {
		t.Errorf("the foreign one is recorded in %v", in)
	}
	if l := get(t, s, "foreign"); l.Metadata != "changed" {
		t.Errorf("metadata %q", l.Metadata)
	}
}

func TestAdditionalStore(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		other := newEnv(t, e.driver)
		shared := other.open(t)
		base := load(t, shared, "", baseTar(t))
		write(t, shared, func(tx *WriteTx) {
			if err := tx.SetNames(base.ID, "base"); err != nil {
				t.Error(err)
			}
		})
		before := testutil.Tree(t, other.graphDir())

		e.additional = []string{other.graph, filepath.Join(e.graph, "does not exist")}
		s := e.open(t)
		ctx := context.Background()
		l := get(t, s, base.ID)
		if !l.ReadOnly || l.Chain != base.Chain {
			t.Errorf("layer %+v", l)
		}
		view(t, s, func(tx *ReadTx) {
			if id, err := tx.Lookup("base"); id != base.ID || err != nil {
				t.Errorf("lookup: %q, %v", id, err)
			}
		})
		if got, err := diff(s, base.ID, "", plain); err != nil || !bytes.Equal(got, baseTar(t)) {
			t.Errorf("diff: %v", err)
		}
		upper := load(t, s, base.ID, upperTar(t))
		if got, err := diff(s, upper.ID, "", plain); err != nil || !bytes.Equal(got, upperTar(t)) {
			t.Errorf("diff of the child: %v", err)
		}
		if upper.Chain != base.Chain.Child(upper.DiffID) {
			t.Errorf("chain ID over two stores %s", upper.Chain)
		}
		write(t, s, func(tx *WriteTx) {
			_, deleteErr := tx.Delete(ctx, base.ID)
			for name, err := range map[string]error{
				"delete": deleteErr, "names": tx.SetNames(base.ID, "x"), "metadata": tx.SetMetadata(base.ID, "x"),
				"data": tx.SetBigData(ctx, base.ID, "k", nil),
			} {
				if !errors.Is(err, ErrUnknown) {
					t.Errorf("%s of a read-only layer: %v", name, err)
				}
			}
		})
		if _, err := s.ApplyDiff(ctx, base.ID, bytes.NewReader(upperTar(t)), ApplyOptions{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("apply: %v", err)
		}
		const text = "mounting read/only store images is not allowed: called a write method on a read-only store"
		if _, err := s.Mount(ctx, base.ID, MountOptions{}); !errors.Is(err, errdefs.ErrReadOnly) || err.Error() != text {
			t.Errorf("mount: %v", err)
		}
		path, err := s.Mount(ctx, upper.ID, MountOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !exists(filepath.Join(path, "etc/hello")) || exists(filepath.Join(path, "etc/gone")) {
			t.Error("the mounted child has the wrong files")
		}
		if _, err := s.Unmount(ctx, upper.ID, UnmountOptions{}); err != nil {
			t.Error(err)
		}
		if after := testutil.Tree(t, other.graphDir()); !slices.Equal(before, after) {
			t.Errorf("the additional store was written:\n%v\n%v", before, after)
		}
	})
}

func TestReadOnlyMountOfAnAdditionalLayer(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		other := newEnv(t, e.driver)
		shared := other.open(t)
		base := load(t, shared, "", baseTar(t))
		upper := load(t, shared, base.ID, upperTar(t))
		e.additional = []string{other.graph}
		s := e.open(t)
		ctx := context.Background()
		path, err := s.Mount(ctx, upper.ID, MountOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if !exists(filepath.Join(path, "opq/new")) || exists(filepath.Join(path, "etc/gone")) {
			t.Error("wrong files")
		}
		if n := mounted(t, s, upper.ID); n != 1 {
			t.Errorf("counted %d times", n)
		}
		if gone, err := s.Unmount(ctx, upper.ID, UnmountOptions{}); err != nil || !gone {
			t.Errorf("unmount: %v, %v", gone, err)
		}
	})
}

func TestOpenRefusesIncompleteOptions(t *testing.T) {
	e := newEnv(t, "vfs")
	good := e.options(t)
	for name, change := range map[string]func(o *Options){
		"no driver":       func(o *Options) { o.Driver = nil },
		"no storage lock": func(o *Options) { o.StorageLock = nil },
		"no graph root":   func(o *Options) { o.GraphDir = "" },
		"relative path":   func(o *Options) { o.Additional = []string{"relative"} },
	} {
		opts := good
		change(&opts)
		if _, err := Open(opts); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
