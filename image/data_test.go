package image_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/image"
)

func TestDigests(t *testing.T) {
	d := func(s string) digest.Digest { return digest.FromString(s) }
	s := open(t, image.Options{})
	_, err := create(t, s, image.CreateOptions{ID: "given", Digest: d("given"), BigData: []image.BigDatum{
		{Key: "manifest-2", Data: []byte("m2")}, {Key: "manifest", Data: []byte("m")}, {Key: "other", Data: []byte("o")},
	}})
	must(t, err)
	_, err = create(t, s, image.CreateOptions{ID: "found", BigData: []image.BigDatum{{Key: "manifest.txt", Data: []byte("m")}}})
	must(t, err)
	given, found := get(t, s, "given"), get(t, s, "found")
	if diff := cmp.Diff([]digest.Digest{d("given"), d("m2"), d("m")}, given.Digests()); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	if given.Digest != d("given") || found.Digest != d("m") {
		t.Errorf("digest fields %s, %s", given.Digest, found.Digest)
	}
	for text, want := range map[string][]image.ID{"m": {"given", "found"}, "m2": {"given"}, "given": {"given"}, "o": nil} {
		view(t, s, func(tx *image.ReadTx) {
			imgs, err := tx.ByDigest(d(text))
			must(t, err)
			var ids []image.ID
			for _, i := range imgs {
				ids = append(ids, i.ID)
			}
			if diff := cmp.Diff(want, ids); diff != "" {
				t.Errorf("ByDigest(%s) (-want +got):\n%s", text, diff)
			}
		})
	}
}

func TestSetBigData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vfs-images")
	s := open(t, image.Options{Dirs: []string{dir}})
	_, err := create(t, s, image.CreateOptions{ID: "i1"})
	must(t, err)
	for _, data := range []string{"one", "three", ""} {
		it, err := s.StageItem(t.Context(), image.BigDatum{Key: "manifest", Data: []byte(data)})
		must(t, err)
		must(t, change(t, s, func(tx *image.WriteTx) error { return tx.SetBigData("i1", it) }))
		must(t, it.Discard())
		img := get(t, s, "i1")
		n, err := img.ItemSize("manifest")
		must(t, err)
		d, err := img.ItemDigest("manifest")
		must(t, err)
		if n != int64(len(data)) || d != digest.FromString(data) || img.Digest != digest.FromString("one") {
			t.Fatalf("after %q: size %d, digest %s, image's digest %s", data, n, d, img.Digest)
		}
		view(t, s, func(tx *image.ReadTx) {
			got, err := tx.BigData(t.Context(), img, "manifest")
			if err != nil || string(got) != data {
				t.Fatalf("item = %q, %v; want %q", got, err, data)
			}
		})
	}
	img := get(t, s, "i1")
	if _, err := img.ItemSize("none"); !errors.Is(err, image.ErrSizeUnknown) {
		t.Errorf("size of no item: %v", err)
	}
	if _, err := img.ItemDigest("none"); !errors.Is(err, image.ErrDigestUnknown) {
		t.Errorf("digest of no item: %v", err)
	}
	if _, err := s.StageItem(t.Context(), image.BigDatum{}); err == nil || err.Error() != "can't set empty name for image big data item: not a valid name for a big data item" {
		t.Errorf("empty key: %v", err)
	}
	noStages(t, dir)
}

func TestDeleteRemovesData(t *testing.T) {
	dir, run := filepath.Join(t.TempDir(), "vfs-images"), filepath.Join(t.TempDir(), "vfs-images")
	s := open(t, image.Options{Dirs: []string{dir}, RunDir: run})
	_, err := create(t, s, image.CreateOptions{ID: "i1", BigData: []image.BigDatum{{Key: "a"}}})
	must(t, err)
	for _, runDir := range []bool{false, true} {
		path, err := s.UserDir("i1", runDir)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(path, "f"), nil, 0o600))
	}
	must(t, change(t, s, func(tx *image.WriteTx) error { return tx.Delete("i1") }))
	for _, path := range []string{filepath.Join(dir, "i1"), filepath.Join(run, "i1")} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	noStages(t, dir)
	noStages(t, run)
	if err := change(t, s, func(tx *image.WriteTx) error { return tx.Delete("i1") }); !errors.Is(err, image.ErrUnknown) {
		t.Errorf("delete again: %v", err)
	}
}
