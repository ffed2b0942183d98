package strata_test

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
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

func TestFind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "same", "", "n")
		createImage(t, s, "same", "", "n")
		createContainer(t, s, "same", "", "n")
		createImage(t, s, "abcdef", "")
		all := []strata.Kind{strata.KindContainer, strata.KindImage, strata.KindLayer}
		for _, kind := range all {
			for _, text := range []string{"same", "n", "sam"} {
				o, err := s.Find(ctx, text, kind)
				if err != nil || o.Kind != kind || o.ID != "same" {
					t.Errorf("Find(%s, %s) = %+v, %v", text, kind, o, err)
				}
			}
		}
		if o, err := s.Find(ctx, "n"); err != nil || o.Kind != strata.KindLayer {
			t.Errorf("default order: %+v, %v", o, err)
		}
		if o, err := s.Find(ctx, "n", all...); err != nil || o.Kind != strata.KindContainer {
			t.Errorf("given order: %+v, %v", o, err)
		}
		if o, err := s.Find(ctx, "abc"); err != nil || o.Kind != strata.KindImage {
			t.Errorf("prefix: %+v, %v", o, err)
		}
		if _, err := s.Find(ctx, "none"); !errors.Is(err, strata.ErrNotAnID) || !errors.Is(err, errdefs.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		var unknown *strata.UnknownError
		if _, err := s.Find(ctx, "none", strata.KindContainer); !errors.As(err, &unknown) || unknown.Name != "none" || err.Error() != "container not known" {
			t.Errorf("unknown container: %v", err)
		}
	})
}

func TestNamesOfEachKind(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "l1", "", "l-a", "l-b")
		createLayer(t, s, "l2", "", "l-c")
		createImage(t, s, "i1", "", "i-a", "i-b")
		createImage(t, s, "i2", "", "i-c")
		createContainer(t, s, "box1", "", "box-a", "box-b")
		createContainer(t, s, "box2", "", "box-c")
		for _, k := range []string{"l", "i", "box"} {
			a, b, c, x := k+"-a", k+"-b", k+"-c", k+"-x"
			steps := []struct {
				do   func() ([]string, error)
				want []string
			}{
				{func() ([]string, error) { return s.AddNames(ctx, a, []string{x, c}) }, []string{x, c, a, b}},
				{func() ([]string, error) { return s.RemoveNames(ctx, k+"1", []string{a, "none"}) }, []string{x, c, b}},
				{func() ([]string, error) { return s.SetNames(ctx, k+"1", []string{b, b, a}) }, []string{b, a}},
				{func() ([]string, error) { return s.Names(ctx, a) }, []string{b, a}},
				{func() ([]string, error) { return s.AddNames(ctx, b, nil) }, []string{b, a}},
				{func() ([]string, error) { return s.SetNames(ctx, b, nil) }, nil},
				{func() ([]string, error) { return s.Names(ctx, k+"2") }, nil},
			}
			for i, st := range steps {
				got, err := st.do()
				must(t, err)
				wantEqual(t, k+" step "+string(rune('0'+i)), st.want, got)
			}
		}
		if _, err := s.AddNames(ctx, "none", []string{"x"}); !errors.Is(err, layer.ErrUnknown) || err.Error() != "layer not known" {
			t.Errorf("unknown: %v", err)
		}
		for _, id := range []string{"l1", "i1", "box1"} {
			if _, err := s.AddNames(ctx, id, []string{""}); !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("empty name for %s: %v", id, err)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "")
		createImage(t, s, "i", "")
		createContainer(t, s, "box", "")
		for _, id := range []string{"lay", "i", "box"} {
			for _, text := range []string{"<text>\n", ""} {
				must(t, s.SetMetadata(ctx, id, text))
				got, err := s.Metadata(ctx, id)
				if err != nil || got != text {
					t.Errorf("metadata of %s = %q, %v; want %q", id, got, err, text)
				}
			}
		}
		if err := s.SetMetadata(ctx, "none", "x"); !errors.Is(err, strata.ErrNotAnID) || err.Error() != "identifier is not a layer, image, or container" {
			t.Errorf("unknown: %v", err)
		}
		if _, err := s.Metadata(ctx, "none"); !errors.Is(err, layer.ErrUnknown) {
			t.Errorf("unknown: %v", err)
		}
	})
}

func TestBigData(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "", "nl")
		createImage(t, s, "i", "", "ni")
		createContainer(t, s, "box", "", "nc")
		objects := map[strata.Kind]string{strata.KindLayer: "nl", strata.KindImage: "ni", strata.KindContainer: "nc"}
		for kind, name := range objects {
			for _, key := range []string{"lower.case", "A_b", "abcD"} {
				for _, data := range []string{"one", key} {
					must(t, s.SetBigData(ctx, kind, name, key, []byte(data)))
				}
				got, err := s.BigData(ctx, kind, name, key)
				if err != nil || string(got) != key {
					t.Errorf("%s item %s = %q, %v", kind, key, got, err)
				}
				n, err := s.BigDataSize(ctx, kind, name, key)
				if err != nil || n != int64(len(key)) {
					t.Errorf("%s item %s has size %d, %v", kind, key, n, err)
				}
				d, err := s.BigDataDigest(ctx, kind, name, key)
				if err != nil || d != digest.FromString(key) {
					t.Errorf("%s item %s has digest %s, %v", kind, key, d, err)
				}
			}
			keys, err := s.ListBigData(ctx, kind, name)
			must(t, err)
			wantEqual(t, kind.String()+" keys", []string{"lower.case", "A_b", "abcD"}, keys)
			if _, err := s.ListBigData(ctx, kind, "none"); !errors.Is(err, errdefs.ErrNotFound) {
				t.Errorf("items of no %s: %v", kind, err)
			}
		}
		f, err := s.OpenBigData(ctx, strata.KindImage, "i", "A_b")
		must(t, err)
		data, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		if string(data) != "A_b" {
			t.Errorf("opened item = %q", data)
		}
	})
}

func TestBigDataErrors(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createLayer(t, s, "lay", "")
		createImage(t, s, "i", "")
		createContainer(t, s, "box", "")
		get := func(kind strata.Kind, name string) error {
			_, err := s.BigData(ctx, kind, name, "k")
			return err
		}
		set := func(kind strata.Kind, name, key string) error { return s.SetBigData(ctx, kind, name, key, nil) }
		size := func(kind strata.Kind, name string) error {
			_, err := s.BigDataSize(ctx, kind, name, "k")
			return err
		}
		digestOf := func(kind strata.Kind, name string) error {
			_, err := s.BigDataDigest(ctx, kind, name, "k")
			return err
		}
		dir := filepath.Join(s.GraphRoot(), s.DriverName()+"-containers", "box")
		tests := []struct {
			err  error
			want error
			text string
		}{
			{get(strata.KindLayer, "lay"), fs.ErrNotExist, `locating item named "k" for layer with ID "lay": file does not exist`},
			{get(strata.KindImage, "i"), fs.ErrNotExist, `locating item named "k" for image with ID "i" (consider removing the image to resolve the issue): file does not exist`},
			{get(strata.KindContainer, "box"), fs.ErrNotExist, "open " + dir + "/k: no such file or directory"},
			{get(strata.KindLayer, "x"), layer.ErrUnknown, "layer not known"},
			{get(strata.KindImage, "x"), image.ErrUnknown, `locating image with ID "x": image not known`},
			{get(strata.KindContainer, "x"), container.ErrUnknown, "container not known"},
			{set(strata.KindLayer, "x", "k"), layer.ErrUnknown, "layer not known"},
			{set(strata.KindImage, "x", "k"), image.ErrUnknown, `locating image with ID "x": image not known`},
			{set(strata.KindContainer, "x", "k"), container.ErrUnknown, "container not known"},
			{set(strata.KindLayer, "lay", ""), errdefs.ErrInvalid, "can't set empty name for layer big data item: not a valid name for a big data item"},
			{set(strata.KindImage, "i", ""), errdefs.ErrInvalid, "can't set empty name for image big data item: not a valid name for a big data item"},
			{set(strata.KindContainer, "box", ""), errdefs.ErrInvalid, "can't set empty name for container big data item: not a valid name for a big data item"},
			{set(strata.KindImage, "i", "userdata"), image.ErrInvalidDataName, ""},
			{set(strata.KindContainer, "box", ".."), container.ErrInvalidDataName, ""},
			{set(strata.KindLayer, "lay", ".."), errdefs.ErrInvalid, ""},
			{size(strata.KindImage, "i"), image.ErrSizeUnknown, "size is not known"},
			{size(strata.KindContainer, "box"), container.ErrSizeUnknown, "size is not known"},
			{digestOf(strata.KindImage, "i"), image.ErrDigestUnknown, "could not compute digest of item"},
			{digestOf(strata.KindContainer, "box"), container.ErrDigestUnknown, "could not compute digest of item"},
		}
		for _, tt := range tests {
			if !errors.Is(tt.err, tt.want) || tt.text != "" && tt.err.Error() != tt.text {
				t.Errorf("error = %v, want %q", tt.err, tt.text)
			}
		}
	})
}

func TestSizes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		l1 := importLayer(t, s, "l1", "", testutil.Entry{Name: "f", Body: "12345"})
		l2 := importLayer(t, s, "l2", "l1", testutil.Entry{Name: "g", Body: "123"})
		createLayer(t, s, "hand", "l2")
		createImage(t, s, "i", "hand")
		must(t, s.SetBigData(ctx, strata.KindImage, "i", "k", make([]byte, 256)))
		n, err := s.ImageSize(ctx, "i")
		if want := l1.DiffSize + l2.DiffSize + 256; err != nil || n != want {
			t.Errorf("image size %d, %v; want %d", n, err, want)
		}
		if n, err := s.LayerSize(ctx, "l1"); err != nil || n != l1.DiffSize {
			t.Errorf("layer size %d, %v", n, err)
		}
		if n, err := s.LayerSize(ctx, "hand"); err != nil || n != -1 {
			t.Errorf("size of a layer that was filled by hand: %d, %v", n, err)
		}
		createContainer(t, s, "box", "i")
		write(t, s, "box", "h", "1234567")
		must(t, s.SetBigData(ctx, strata.KindContainer, "box", "k", make([]byte, 100)))
		dir, err := s.ContainerDir(ctx, "box")
		must(t, err)
		must(t, writeFile(filepath.Join(dir, "x"), 20))
		dir, err = s.ContainerRunDir(ctx, "box")
		must(t, err)
		must(t, writeFile(filepath.Join(dir, "y"), 3))
		if n, err := s.ContainerSize(ctx, "box"); err != nil || n != 7+100+20+3 {
			t.Errorf("container size %d, %v; want 130", n, err)
		}
		for _, size := range []func() (int64, error){
			func() (int64, error) { return s.LayerSize(ctx, "none") },
			func() (int64, error) { return s.ImageSize(ctx, "none") },
			func() (int64, error) { return s.ContainerSize(ctx, "none") },
		} {
			if _, err := size(); !errors.Is(err, errdefs.ErrNotFound) {
				t.Errorf("size of nothing: %v", err)
			}
		}
	})
}

func TestDirectories(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		ctx := t.Context()
		createImage(t, s, "i", "", "ni")
		createContainer(t, s, "box", "", "nc")
		d := s.DriverName()
		tests := []struct {
			get        func(name string) (string, error)
			name, want string
			unknown    string
		}{
			{func(n string) (string, error) { return s.ImageDir(ctx, n) }, "ni", s.GraphRoot() + "/" + d + "-images/i/userdata", `locating image with ID "none": image not known`},
			{func(n string) (string, error) { return s.ImageRunDir(ctx, n) }, "ni", s.RunRoot() + "/" + d + "-images/i/userdata", `locating image with ID "none": image not known`},
			{func(n string) (string, error) { return s.ContainerDir(ctx, n) }, "nc", s.GraphRoot() + "/" + d + "-containers/box/userdata", "container not known"},
			{func(n string) (string, error) { return s.ContainerRunDir(ctx, n) }, "nc", s.RunRoot() + "/" + d + "-containers/box/userdata", "container not known"},
		}
		for _, tt := range tests {
			for range 2 {
				got, err := tt.get(tt.name)
				if err != nil || got != tt.want {
					t.Errorf("directory %s, %v; want %s", got, err, tt.want)
				}
			}
			if _, err := tt.get("none"); err == nil || err.Error() != tt.unknown {
				t.Errorf("unknown: %v, want %s", err, tt.unknown)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *storetest.Store) {
		items, err := s.Status(t.Context())
		must(t, err)
		want := []string{"Root", s.GraphRoot(), "Run Root", s.RunRoot(), "Driver Name", s.DriverName(), "Driver Options", "[]"}
		var got []string
		for _, it := range items[:4] {
			got = append(got, it.Key, it.Value)
		}
		wantEqual(t, "leading items", want, got)
		if s.DriverReason() == "" {
			t.Error("no reason for the driver")
		}
	})
}
