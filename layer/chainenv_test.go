package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

func (e *env) leaseDir() string { return filepath.Join(e.graph, "strata", "leases") }

// chainStore opens the chain view of a store; users may be nil.
func (e *env) chainStore(t testing.TB, s *Store, users Users) *ChainStore {
	t.Helper()
	c, err := NewChainStore(s, ChainStoreOptions{LeaseDir: e.leaseDir(), Users: users})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eachChainStore runs a test on a fresh ChainStore of every driver.
func eachChainStore(t *testing.T, test func(t *testing.T, e *env, c *ChainStore)) {
	t.Helper()
	eachDriver(t, func(t *testing.T, e *env) { test(t, e, e.chainStore(t, e.open(t), nil)) })
}

// numbered is a layer tar that differs by name.
func numbered(t testing.TB, name string) []byte {
	t.Helper()
	return testutil.Tar(t, testutil.Entry{Name: name, Body: "content of " + name})
}

func register(t testing.TB, c *ChainStore, parent *Ref, name string) *Ref {
	t.Helper()
	var chain ChainID
	if parent != nil {
		chain = parent.ChainID()
	}
	r, err := c.Register(context.Background(), bytes.NewReader(numbered(t, name)), chain)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// release gives r back and compares what went.
func release(t testing.TB, c *ChainStore, r *Ref, want ...*Ref) {
	t.Helper()
	removed, err := c.Release(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	wantRemoved(t, removed, want...)
}

func wantRemoved(t testing.TB, removed []Removed, want ...*Ref) {
	t.Helper()
	if removed == nil {
		t.Error("the list is nil")
	}
	var expected []Removed
	for _, w := range want {
		expected = append(expected, Removed{ChainID: w.ChainID(), DiffID: w.DiffID(), Size: w.Size(), DiffSize: w.DiffSize()})
	}
	if !slices.Equal(removed, expected) {
		t.Errorf("removed %v, want %v", removed, expected)
	}
}

func readAll(t testing.TB, open func(context.Context) (io.ReadCloser, error)) []byte {
	t.Helper()
	r, err := open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tarNames lists a tar's entries, directories without the slash.
func tarNames(t testing.TB, data []byte) []string {
	t.Helper()
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimSuffix(h.Name, "/"))
	}
}
