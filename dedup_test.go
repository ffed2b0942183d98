package strata_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
	"github.com/stratastore/strata/layer"
)

// TestDedup shares equal files of two layers on a file system with reflinks.
func TestDedup(t *testing.T) {
	testutil.RequireRoot(t)
	root := reflinkDisk(t)
	body := strings.Repeat("x", 100000)
	for _, driver := range []string{"overlay", "vfs"} {
		t.Run(driver, func(t *testing.T) {
			graph := filepath.Join(root, driver)
			s, err := strata.Open(t.Context(), strata.Options{GraphRoot: graph, RunRoot: graph + "-run", Driver: driver})
			must(t, err)
			t.Cleanup(func() {
				must(t, errOf(s.Shutdown(context.WithoutCancel(t.Context()), strata.ShutdownOptions{Force: true})))
			})
			for _, id := range []string{"one", "two"} {
				tar := testutil.Tar(t, testutil.Entry{Name: "same", Body: body}, testutil.Entry{Name: "own", Body: id + body[3:]})
				putTar(t, s, id, tar)
			}
			var last strata.DedupProgress
			first, err := s.Dedup(t.Context(), strata.DedupOptions{Progress: func(p strata.DedupProgress) { last = p }})
			must(t, err)
			wantEqual(t, "progress", strata.DedupProgress{Bytes: 400000, Total: 400000}, last)
			wantEqual(t, "report", strata.DedupReport{Layers: 2, Files: 4, Shared: 1, Bytes: 100000, New: 100000}, *first)
			again, err := s.Dedup(t.Context(), strata.DedupOptions{Method: strata.DedupSize})
			must(t, err)
			wantEqual(t, "second report", strata.DedupReport{Layers: 2, Files: 4, Shared: 1, Bytes: 100000}, *again)
			sound, err := s.Check(t.Context(), strata.CheckOptions{})
			must(t, err)
			wantEqual(t, "findings", 0, len(sound.Findings))
		})
	}
}

func TestDedupWithoutReflinks(t *testing.T) {
	const noReflinks = "/dev/shm"                         // a file system in memory has none
	dir, err := os.MkdirTemp(noReflinks, "strata-dedup-") //nolint:usetesting // that may have reflinks
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	s, err := strata.Open(t.Context(), strata.Options{GraphRoot: dir + "/graph", RunRoot: dir + "/run", Driver: "vfs"})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close(context.WithoutCancel(t.Context()))) })
	putTar(t, s, "one", testutil.Tar(t, testutil.Entry{Name: "a", Body: "x"}, testutil.Entry{Name: "b", Body: "x"}))
	_, err = s.Dedup(t.Context(), strata.DedupOptions{})
	if !errors.Is(err, errdefs.ErrUnsupported) || errdefs.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, errdefs.Hint(err))
	}
}

func putTar(t *testing.T, s *strata.Store, id string, tar []byte) {
	t.Helper()
	must(t, errOf(s.ImportLayer(t.Context(), strata.LayerOptions{ID: layer.ID(id)}, bytes.NewReader(tar))))
}
