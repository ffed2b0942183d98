package layer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/lockfile"
)

// manyLayers writes records of 500 stacks of 20 layers each, as an engine would
// have them, and returns options for a store that has no content for them.
func manyLayers(t testing.TB, stacks, depth int) (Options, []ID) {
	t.Helper()
	e := newEnv(t, "vfs")
	opts := e.options(t)
	if err := os.MkdirAll(opts.GraphDir, 0o700); err != nil {
		t.Fatal(err)
	}
	var records []Record
	var ids []ID
	for stack := range stacks {
		var parent ID
		for level := range depth {
			diff := DiffID(digest.FromString(fmt.Sprint(stack, level)))
			r := Record{
				ID: ImageLayerID(parent, diff), Parent: parent, Created: time.Unix(int64(len(records)), 1).UTC(),
				BlobDigest: BlobDigest(digest.FromString(fmt.Sprint("blob", stack, level))), BlobSize: 12345678,
				DiffID: diff, DiffSize: 23456789, Compression: 2, UIDs: []uint32{0, 33, 1000}, GIDs: []uint32{0, 33, 1000},
			}
			records = append(records, r)
			ids = append(ids, r.ID)
			parent = r.ID
		}
	}
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(opts.GraphDir, stableName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return opts, ids
}

// oneLayer is what "layer ID" does in a process of its own.
func oneLayer(t testing.TB, opts Options, id ID) Layer {
	opts.StorageLock = lockfile.New(opts.StorageLock.Path(), lockfile.Options{})
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := s.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	found, err := tx.Lookup(string(id))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tx.Get(found)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestTenThousandLayers: to answer for one layer, the records of the others are not decoded.
func TestTenThousandLayers(t *testing.T) {
	opts, ids := manyLayers(t, 500, 20)
	want := ids[len(ids)-1]
	text, err := os.ReadFile(filepath.Join(opts.GraphDir, stableName))
	if err != nil {
		t.Fatal(err)
	}
	var one, all time.Duration
	for range 5 {
		one += testutil.CPUTime(t, func() {
			if l := oneLayer(t, opts, want); l.ID != want || l.Chain == "" {
				t.Fatalf("layer %+v", l)
			}
		})
		all += testutil.CPUTime(t, func() {
			var records []Record
			if err := json.Unmarshal(text, &records); err != nil || len(records) != len(ids) {
				t.Fatalf("%d records, %v", len(records), err)
			}
		})
	}
	t.Logf("opened 10,000 layers and answered for one in %v, decoding all takes %v", one/5, all/5)
	if one > all {
		t.Errorf("opening and one answer cost %v, decoding all records %v", one, all)
	}
}

func TestChainIndexOfTenThousandLayers(t *testing.T) {
	opts, ids := manyLayers(t, 500, 20)
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	view(t, s, func(tx *ReadTx) {
		var below ChainID
		for _, id := range ids[:20] {
			l, err := tx.Get(id)
			if err != nil {
				t.Fatal(err)
			}
			if below = below.Child(l.DiffID); l.Chain != below {
				t.Errorf("layer %s has chain ID %s, want %s", id, l.Chain, below)
			}
			found, err := tx.ByChainID(below)
			if err != nil || len(found) != 1 || found[0].ID != id {
				t.Errorf("by chain ID: %v, %v", found, err)
			}
		}
	})
	// A change of the records makes the index anew.
	write(t, s, func(tx *WriteTx) {
		chain, err := tx.ChainID(ids[19])
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.update(ids[0], func(r *Record) { r.DiffID = emptyDiff }); err != nil {
			t.Fatal(err)
		}
		if found, err := tx.ByChainID(chain); err != nil || len(found) != 0 {
			t.Errorf("stale chain ID finds %v, %v", found, err)
		}
	})
	view(t, s, func(tx *ReadTx) {
		if chain, err := tx.ChainID(ids[0]); err != nil || chain != ChainID(emptyDiff) {
			t.Errorf("chain ID %s, %v", chain, err)
		}
	})
}

func BenchmarkOneLayerOf10000(b *testing.B) {
	opts, ids := manyLayers(b, 500, 20)
	for b.Loop() {
		oneLayer(b, opts, ids[len(ids)/2])
	}
}

func BenchmarkListOf10000(b *testing.B) {
	opts, _ := manyLayers(b, 500, 20)
	for b.Loop() {
		s, err := Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		view(b, s, func(tx *ReadTx) {
			if layers, err := tx.Layers(); err != nil || len(layers) != 10000 {
				b.Fatal(len(layers), err)
			}
		})
	}
}

func BenchmarkChainIndexOf10000(b *testing.B) {
	opts, _ := manyLayers(b, 500, 20)
	for b.Loop() {
		s, err := Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		view(b, s, func(tx *ReadTx) {
			if _, err := tx.ByChainID("sha256:none"); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkSetMetadataOf10000(b *testing.B) {
	opts, ids := manyLayers(b, 500, 20)
	s, err := Open(opts)
	if err != nil {
		b.Fatal(err)
	}
	text := "x"
	for b.Loop() {
		text += "x"
		write(b, s, func(tx *WriteTx) {
			if err := tx.SetMetadata(ids[5000], text); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkLoadAndDelete(b *testing.B) {
	for _, driver := range []string{"vfs", "overlay"} {
		b.Run(driver, func(b *testing.B) {
			e := newEnv(b, driver)
			s := e.open(b)
			blob := gzipped(b, baseTar(b))
			for b.Loop() {
				remove(b, s, load(b, s, "", blob).ID)
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	e := newEnv(b, "vfs")
	s := e.open(b)
	var entries []testutil.Entry
	for i := range 200 {
		entries = append(entries, testutil.Entry{Name: fmt.Sprint("file", i), Body: strings.Repeat("content ", 32<<10)})
	}
	tar := testutil.Tar(b, entries...)
	l := load(b, s, "", tar)
	b.SetBytes(int64(len(tar)))
	for b.Loop() {
		r, err := s.Diff(context.Background(), l.ID, "", plain)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(tar)) {
			b.Fatal(n, err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
