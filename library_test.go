package strata_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

func TestExistsAndLookup(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	createLayer(t, s, "abc1", "", "both")
	createImage(t, s, "img1", "abc1", "both")
	tests := []struct {
		name  string
		kinds []strata.Kind
		id    string
	}{
		{"abc", nil, "abc1"},
		{"both", nil, "abc1"},
		{"both", []strata.Kind{strata.KindImage, strata.KindLayer}, "img1"},
		{"both", []strata.Kind{strata.KindContainer}, ""},
		{"none", nil, ""},
	}
	for _, tt := range tests {
		found, err := s.Exists(ctx, tt.name, tt.kinds...)
		if err != nil || found != (tt.id != "") {
			t.Errorf("Exists(%q, %v) = %v, %v", tt.name, tt.kinds, found, err)
		}
		id, err := s.Lookup(ctx, tt.name, tt.kinds...)
		if id != tt.id || errors.Is(err, errdefs.ErrNotFound) != (tt.id == "") {
			t.Errorf("Lookup(%q, %v) = %q, %v", tt.name, tt.kinds, id, err)
		}
	}
	other, err := strata.Open(ctx, s.Options)
	must(t, err)
	must(t, other.Close(ctx))
	if _, err := other.Exists(ctx, "abc1"); !errors.Is(err, strata.ErrClosed) {
		t.Errorf("closed store: %v", err)
	}
}

func TestImageFiles(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	createImage(t, s, "img", "")
	must(t, s.SetImageFile(ctx, "img", "a/b", []byte("lasting")))
	must(t, s.SetImageRunFile(ctx, "img", "a/b", []byte("passing")))
	for want, get := range map[string]func() ([]byte, error){
		"lasting": func() ([]byte, error) { return s.ImageFile(ctx, "img", "a/b") },
		"passing": func() ([]byte, error) { return s.ImageRunFile(ctx, "img", "a/b") },
	} {
		if data, err := get(); err != nil || string(data) != want {
			t.Errorf("%q, %v; want %q", data, err, want)
		}
	}
	for name, err := range map[string]error{
		"unknown image": errOf(s.ImageFile(ctx, "none", "f")), "unknown image to write": s.SetImageRunFile(ctx, "none", "f", nil),
	} {
		if !errors.Is(err, image.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.ImageFile(ctx, "img", "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown file: %v", err)
	}
	if err := s.SetImageFile(ctx, "img", "../f", nil); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("file outside: %v", err)
	}
}

// TestDigestLock: it is the file that the other engines lock, and excludes.
func TestDigestLock(t *testing.T) {
	s := storetest.New(t, "vfs")
	d := digest.FromString("blob")
	first, err := s.DigestLock(d)
	must(t, err)
	if want := filepath.Join(s.RunRoot(), "vfs-locks", string(d)); first.Path() != want {
		t.Errorf("lock file %s, want %s", first.Path(), want)
	}
	held, err := first.Exclusive(t.Context())
	must(t, err)
	second, err := s.DigestLock(d)
	must(t, err)
	if _, err := second.TryExclusive(); !errors.Is(err, errdefs.ErrLocked) {
		t.Errorf("second holder: %v", err)
	}
	must(t, held.Unlock())
	if _, err := s.DigestLock("sha256:../../x"); !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("bad digest: %v", err)
	}
}

func TestSettings(t *testing.T) {
	s := storetest.New(t, "vfs", func(o *strata.Options) {
		o.Transient, o.DefaultMapping = true, strata.Mapping{UIDs: []strata.IDRange{{HostID: 5, Size: 6}}}
	})
	if m := s.DefaultMapping(); !s.Transient() || len(m.UIDs) != 1 || m.UIDs[0].HostID != 5 {
		t.Errorf("transient %v, mapping %+v", s.Transient(), m)
	}
	s.DefaultMapping().UIDs[0].HostID = 7
	wantEqual(t, "mapping after a caller changed its copy", 5, s.DefaultMapping().UIDs[0].HostID)
	if v := strata.Version(); v != "(devel)" && !strings.HasPrefix(v, "v") {
		t.Errorf("version %q", v)
	}
}

func TestUnmountImage(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "")
		createImage(t, s, "img", "lay")
		createImage(t, s, "bare", "")
		for range 2 {
			must(t, errOf(s.MountImage(ctx, "img", strata.MountOptions{})))
		}
		for n, want := range []bool{true, false} {
			res, err := s.UnmountImage(ctx, "img", strata.UnmountOptions{})
			if err != nil || res.Mounted != want || res.Layer != "lay" || res.Kind != strata.KindImage {
				t.Errorf("unmount %d: %+v, %v", n, res, err)
			}
		}
		for name, want := range map[string]error{"none": image.ErrUnknown, "bare": layer.ErrUnknown} {
			if _, err := s.UnmountImage(ctx, name, strata.UnmountOptions{}); !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestCreateOptions: what a caller decides about records is in them.
func TestCreateOptions(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	flags := map[string]json.RawMessage{"own": json.RawMessage(`{"a":1}`)}
	l, err := s.CreateLayer(ctx, strata.LayerOptions{ID: "lay", Flags: flags})
	must(t, err)
	wantEqual(t, "layer's flags", flags, l.Flags)
	c, err := s.CreateContainer(ctx, strata.ContainerOptions{LayerID: "own-layer", Flags: flags})
	must(t, err)
	wantEqual(t, "layer", layer.ID("own-layer"), c.Layer)
	wantEqual(t, "container's flag", `{"a":1}`, string(c.Flags["own"]))
	_, err = s.CreateContainer(ctx, strata.ContainerOptions{LayerID: "lay"})
	if !errors.Is(err, layer.ErrDuplicateID) {
		t.Errorf("layer's ID that is taken: %v", err)
	}
	_, err = s.CreateContainer(ctx, strata.ContainerOptions{Flags: map[string]json.RawMessage{"x": json.RawMessage("{")}})
	if !errors.Is(err, errdefs.ErrInvalid) {
		t.Errorf("flag that is not JSON: %v", err)
	}
}

// TestDataOfAllKinds: list, get, open, size, digest and set.
func TestDataOfAllKinds(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	createLayer(t, s, "lay", "")
	createImage(t, s, "i", "lay")
	createContainer(t, s, "box", "i")
	for kind, id := range map[strata.Kind]string{strata.KindLayer: "lay", strata.KindImage: "i", strata.KindContainer: "box"} {
		t.Run(kind.String(), func(t *testing.T) {
			must(t, s.SetBigData(ctx, kind, id, "key", []byte("old")))
			f, err := s.OpenBigData(ctx, kind, id, "key")
			must(t, err)
			must(t, s.SetBigData(ctx, kind, id, "key", []byte("newer")))
			old, err := io.ReadAll(f)
			must(t, errors.Join(err, f.Close()))
			data, err := s.BigData(ctx, kind, id, "key")
			must(t, err)
			size, err := s.BigDataSize(ctx, kind, id, "key")
			must(t, err)
			sum, err := s.BigDataDigest(ctx, kind, id, "key")
			must(t, err)
			keys, err := s.ListBigData(ctx, kind, id)
			must(t, err)
			if string(old) != "old" || string(data) != "newer" || size != 5 || sum != digest.FromString("newer") || len(keys) != 1 {
				t.Errorf("%q, %q, %d bytes, %s, keys %q", old, data, size, sum, keys)
			}
			if _, err := s.OpenBigData(ctx, kind, id, "none"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("unknown item: %v", err)
			}
			if _, err := s.OpenBigData(ctx, kind, "none", "key"); !errors.Is(err, errdefs.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
				t.Errorf("unknown object: %v", err)
			}
		})
	}
}

// TestProgressOfCalls: each call reports to the value that it was given.
func TestProgressOfCalls(t *testing.T) {
	s := storetest.New(t, "vfs")
	ctx := t.Context()
	tar := testutil.Tar(t, testutil.Entry{Name: "f", Body: strings.Repeat("x", 100_000)})
	var imported, applied int64
	_, err := s.ImportLayer(ctx, strata.LayerOptions{ID: "a", Progress: func(n int64) { imported = n }}, bytes.NewReader(tar))
	must(t, err)
	createLayer(t, s, "b", "")
	_, err = s.ApplyDiffWith(ctx, "b", bytes.NewReader(tar), layer.ApplyOptions{Progress: func(n int64) { applied = n }})
	must(t, err)
	wantEqual(t, "bytes", []int64{int64(len(tar)), int64(len(tar))}, []int64{imported, applied})
	_, err = s.ApplyDiffWith(ctx, "b", bytes.NewReader(tar), layer.ApplyOptions{Expect: layer.DiffID(digest.FromString("other"))})
	if !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("another diff than expected: %v", err)
	}
}

// TestStoresSideBySide: several stores in one process share nothing.
func TestStoresSideBySide(t *testing.T) {
	testutil.RequireRoot(t)
	var stores []*storetest.Store
	for range 3 {
		for _, driver := range storetest.Drivers() {
			stores = append(stores, storetest.New(t, driver))
		}
	}
	for n, s := range stores {
		importLayer(t, s, "same", "", testutil.Entry{Name: "f", Body: strings.Repeat("x", n)})
		createImage(t, s, "img", "same", "name")
		must(t, errOf(s.CreateContainer(t.Context(), strata.ContainerOptions{ID: container.ID("box"), Image: "img"})))
	}
	for n, s := range stores {
		root, err := s.Mount(t.Context(), "box", strata.MountOptions{})
		must(t, err)
		info, err := os.Stat(filepath.Join(root, "f"))
		must(t, err)
		wantEqual(t, "size", int64(n), info.Size())
		if _, err := s.Shutdown(t.Context(), strata.ShutdownOptions{Force: true}); err == nil {
			t.Error("shut down while mounted without a word")
		}
	}
}
