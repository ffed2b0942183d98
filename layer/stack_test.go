package layer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestChainAndSizes(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	a := load(t, s, "", baseTar(t))
	b := load(t, s, a.ID, upperTar(t))
	c := create(t, s, CreateOptions{Parent: b.ID})
	d := load(t, s, c.ID, upperTar(t))
	view(t, s, func(tx *ReadTx) {
		stack, err := tx.Chain(d.ID)
		if err != nil {
			t.Fatal(err)
		}
		var ids []ID
		for _, l := range stack {
			ids = append(ids, l.ID)
		}
		if !slices.Equal(ids, []ID{d.ID, c.ID, b.ID, a.ID}) {
			t.Errorf("chain %v", ids)
		}
		if size, err := tx.ChainSize(d.ID); err != nil || size != a.DiffSize+b.DiffSize+d.DiffSize {
			t.Errorf("chain size %d, %v", size, err)
		}
		if _, err := tx.Size(c.ID); !errors.Is(err, ErrSizeUnknown) {
			t.Errorf("size of a layer without a diff: %v", err)
		}
		if size, err := tx.Size(b.ID); err != nil || size != int64(len(upperTar(t))) {
			t.Errorf("size %d, %v", size, err)
		}
		if chain, err := tx.ChainID(c.ID); chain != "" || err != nil {
			t.Errorf("chain ID of a layer without diff ID: %q, %v", chain, err)
		}
		if d.Chain != "" {
			t.Errorf("chain ID %q above a layer without diff ID", d.Chain)
		}
		if children := tx.Children(b.ID); !slices.Equal(children, []ID{c.ID}) {
			t.Errorf("children %v", children)
		}
		for name, found := range map[string]func() ([]Layer, error){
			"diff ID":     func() ([]Layer, error) { return tx.ByDiffID(b.DiffID) },
			"blob digest": func() ([]Layer, error) { return tx.ByBlobDigest(b.BlobDigest) },
		} {
			if layers, err := found(); err != nil || len(layers) != 2 || layers[0].ID != b.ID || layers[1].ID != d.ID {
				t.Errorf("by %s: %v, %v", name, layers, err)
			}
		}
		if layers, err := tx.ByChainID(b.Chain); err != nil || len(layers) != 1 || layers[0].ID != b.ID {
			t.Errorf("by chain ID: %v, %v", layers, err)
		}
		if layers, err := tx.ByChainID("sha256:nope"); err != nil || len(layers) != 0 {
			t.Errorf("by unknown chain ID: %v, %v", layers, err)
		}
	})
}

func TestChainOfDamagedRecords(t *testing.T) {
	e := newEnv(t, "vfs")
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	writeRecords(t, e, `[{"id":"a","parent":"b","created":"2024-01-01T00:00:00Z","diff-digest":"sha256:`+strings.Repeat("a", 64)+`"},`+
		`{"id":"b","parent":"a","created":"2024-01-01T00:00:00Z","diff-digest":"sha256:`+strings.Repeat("b", 64)+`"},`+
		`{"id":"c","parent":"gone","created":"2024-01-01T00:00:00Z"}]`)
	view(t, s, func(tx *ReadTx) {
		if _, err := tx.Chain("a"); !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("circle: %v", err)
		}
		if stack, err := tx.Chain("c"); !errors.Is(err, ErrParentUnknown) || len(stack) != 1 {
			t.Errorf("missing parent: %v, %v", stack, err)
		}
		if chain, err := tx.ChainID("a"); chain != "" || err != nil {
			t.Errorf("chain ID of a circle: %q, %v", chain, err)
		}
		if layers, err := tx.Layers(); err != nil || len(layers) != 3 {
			t.Errorf("layers %v, %v", layers, err)
		}
	})
}
