package strata_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// layerStore makes an additional layer store with one layer in it, as another program
// would provide it, below dir.
func layerStore(t testing.TB, dir string, toc layer.TOCDigest) (path string, tar []byte) {
	t.Helper()
	tar = testutil.Tar(t, testutil.Entry{Name: "etc/"}, testutil.Entry{Name: "etc/f", Body: "one", UID: 5, GID: 6})
	path = filepath.Join(dir, string(toc))
	must(t, os.MkdirAll(filepath.Join(path, "diff/etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(path, "diff/etc/f"), []byte("one"), 0o644))
	must(t, os.Chown(filepath.Join(path, "diff/etc/f"), 5, 6))
	must(t, os.WriteFile(filepath.Join(path, "blob"), zipped(t, tar), 0o644))
	info, err := json.Marshal(map[string]any{
		"compressed-diff-digest": digest.FromBytes(zipped(t, tar)), "compressed-size": len(zipped(t, tar)),
		"diff-digest": digest.FromBytes(tar), "diff-size": len(tar), "compression": 2, "uidset": []int{0, 5}, "gidset": []int{0, 6},
		"id": "ignored", "parent": "ignored", "unknown": 1,
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(path, "info"), info, 0o644))
	return path, tar
}

func withLayerStore(t *testing.T, option string) *storetest.Store {
	t.Helper()
	return storetest.New(t, "overlay", func(o *strata.Options) { o.DriverOptions = []string{"overlay.additionallayerstore=" + option} })
}

// TestAdditionalLayer: a layer that stays where it is, is mounted, stood on, exported as it
// came, and let go of.
func TestAdditionalLayer(t *testing.T) {
	testutil.RequireRoot(t)
	toc := layer.TOCDigest(digest.FromString("toc"))
	for _, byRef := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "by reference"}[byRef], func(t *testing.T) {
			ctx := t.Context()
			dir, below, option := t.TempDir(), "", ""
			if byRef {
				below, option = base64.StdEncoding.EncodeToString([]byte("registry.example/app:1")), ":ref"
			}
			path, tar := layerStore(t, filepath.Join(dir, below), toc)
			before := testutil.Tree(t, dir, testutil.IgnoreMtime) // the announcement of use touches directories
			s := withLayerStore(t, dir+option)
			a, err := s.AdditionalLayer(ctx, toc, "registry.example/app:1")
			must(t, err)
			l, err := s.PutAdditionalLayer(ctx, a, strata.LayerOptions{ID: "add", Names: []string{"n"}})
			must(t, err)
			must(t, a.Release())
			wantEqual(t, "diff ID", layer.DiffID(digest.FromBytes(tar)), l.DiffID)
			wantEqual(t, "table of contents", toc, l.TOCDigest)
			wantEqual(t, "owners", []uint32{0, 5}, l.UIDs)
			if link, err := os.Readlink(filepath.Join(s.GraphRoot(), "overlay/add/diff")); err != nil || link != filepath.Join(path, "diff") {
				t.Errorf("content is at %q, %v", link, err)
			}
			if note, err := os.ReadFile(filepath.Join(s.GraphRoot(), "overlay/add/additionallayer")); err != nil || string(note) != path {
				t.Errorf("note %q, %v", note, err)
			}
			if got := diff(t, s, "add", ""); !bytes.Equal(got, tar) {
				t.Errorf("tar has %d other bytes", len(got))
			}
			found, err := s.LayersByTOC(ctx, toc)
			must(t, err)
			wantEqual(t, "found by its table of contents", 1, len(found))
			createImage(t, s, "img", "add")
			createContainer(t, s, "con", "img")
			write(t, s, "con", "etc/g", "two")
			wantEqual(t, "diff of the container", []string{"etc/", "etc/g"}, tarNames(t, diff(t, s, "con", "")))
			root, err := s.Mount(ctx, "add", strata.MountOptions{})
			must(t, err)
			wantEqual(t, "tree", []string{"etc", "etc/f"}, paths(t, root))
			if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o600); err == nil {
				t.Error("the layer can be written to")
			}
			must(t, errOf(s.Unmount(ctx, "add", strata.UnmountOptions{})))
			if _, err := s.ApplyDiff(ctx, "add", bytes.NewReader(tar)); !errors.Is(err, errdefs.ErrReadOnly) {
				t.Errorf("apply: %v", err)
			}
			must(t, s.DeleteContainer(ctx, "con"))
			must(t, errOf(s.DeleteImage(ctx, "img", strata.DeleteImageOptions{})))
			wantEqual(t, "additional layer store", before, testutil.Tree(t, dir, testutil.IgnoreMtime))
		})
	}
}

func TestAdditionalLayerRefuses(t *testing.T) {
	testutil.RequireRoot(t)
	ctx := t.Context()
	toc, broken := layer.TOCDigest(digest.FromString("toc")), layer.TOCDigest(digest.FromString("broken"))
	dir := t.TempDir()
	layerStore(t, dir, toc)
	path, _ := layerStore(t, dir, broken)
	must(t, os.WriteFile(filepath.Join(path, "info"), []byte("{"), 0o600))
	s := withLayerStore(t, dir)
	createLayer(t, s, "taken", "", "name")
	tests := []struct {
		name string
		toc  layer.TOCDigest
		want error
	}{
		{"unknown", layer.TOCDigest(digest.FromString("other")), layer.ErrUnknown},
		{"no digest", "../..", errdefs.ErrInvalid},
		{"broken record", broken, errdefs.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := s.AdditionalLayer(ctx, tt.toc, ""); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	a, err := s.AdditionalLayer(ctx, toc, "")
	must(t, err)
	for name, c := range map[string]struct {
		opts strata.LayerOptions
		want error
	}{
		"ID in use":      {strata.LayerOptions{ID: "taken"}, layer.ErrDuplicateID},
		"name in use":    {strata.LayerOptions{Names: []string{"name"}}, layer.ErrDuplicateName},
		"unknown parent": {strata.LayerOptions{Parent: "none"}, layer.ErrUnknown},
		"mapping":        {strata.LayerOptions{Mapping: ranges(5, 5)}, errdefs.ErrInvalid},
	} {
		if _, err := s.PutAdditionalLayer(ctx, a, c.opts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	must(t, a.Release())
	if _, err := storetest.New(t, "vfs").AdditionalLayer(ctx, toc, ""); !errors.Is(err, layer.ErrUnknown) {
		t.Errorf("driver that serves none: %v", err)
	}
	wantIDs(t, s, []string{"taken"}, nil, nil)
	_, err = strata.Open(ctx, strata.Options{
		GraphRoot: t.TempDir(), RunRoot: t.TempDir(), Driver: "overlay", DriverOptions: []string{"overlay.additionallayerstore=" + dir + "/none"},
	})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("store that is not there: %v", err)
	}
	if _, err := s.CreateImage(ctx, image.CreateOptions{TopLayer: string(toc)}); !errors.Is(err, layer.ErrUnknown) {
		t.Errorf("a layer that was not put: %v", err)
	}
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}
