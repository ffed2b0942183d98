package oci_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/oci"
)

// TestOneConfigurationUnderManyNames: links to a large configuration cost an archive next to
// nothing, and must not cost whoever reads it a multiple.
func TestOneConfigurationUnderManyNames(t *testing.T) {
	config := append([]byte(`{"rootfs":{"type":"layers","diff_ids":[]},"pad":"`), bytes.Repeat([]byte("x"), 7<<20)...)
	config = append(config, `"}`...)
	type item struct {
		Config           string
		RepoTags, Layers []string
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	put := func(h tar.Header, body []byte) {
		t.Helper()
		h.Size, h.Mode = int64(len(body)), 0o600
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	put(tar.Header{Name: "config.json", Typeflag: tar.TypeReg}, config)
	var items []item
	for i := range 20 {
		name := fmt.Sprintf("config%d.json", i)
		put(tar.Header{Name: name, Linkname: "config.json", Typeflag: tar.TypeLink}, nil)
		items = append(items, item{Config: name, Layers: []string{}})
	}
	index, err := json.Marshal(items)
	if err != nil {
		t.Fatal(err)
	}
	put(tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg}, index)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	src, err := oci.Open(context.Background(), "-", &out, oci.OpenOptions{TempDir: t.TempDir()})
	if err == nil {
		err = errors.Join(errors.New("opened"), src.Close())
	}
	if !errors.Is(err, errdefs.ErrLimit) {
		t.Errorf("20 times the same 7 MiB: %v, want ErrLimit", err)
	}
}
