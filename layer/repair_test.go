package layer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/errdefs"
)

func TestIncompleteLayersAreRemoved(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		kept := load(t, s, "", baseTar(t))
		broken := load(t, s, kept.ID, upperTar(t))
		write(t, s, func(tx *WriteTx) {
			if err := tx.SetBigData(context.Background(), broken.ID, "k", []byte("v")); err != nil {
				t.Error(err)
			}
		})
		data := readRecords(t, e)
		at := strings.LastIndex(data, `"id":`)
		writeRecords(t, e, data[:at]+`"flags":{"incomplete":true},`+data[at:])
		if ids := listIDs(t, e.open(t)); !slices.Equal(ids, []ID{kept.ID}) {
			t.Errorf("layers %v", ids)
		}
		if strings.Contains(readRecords(t, e), "incomplete") {
			t.Error("the flagged record is still on disk")
		}
	})
}

func TestZeroLengthRecordsAreDamage(t *testing.T) {
	e := newEnv(t, "vfs")
	s, err := Open(e.options(t))
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, CreateOptions{ID: "a"})
	create(t, s, CreateOptions{ID: "b"})
	backup := filepath.Join(e.graph, "strata", "backup", "vfs-layers-layers.json")
	if data, err := os.ReadFile(backup); err != nil || !strings.Contains(string(data), `"a"`) {
		t.Errorf("backup %q, %v", data, err)
	}
	writeRecords(t, e, "")
	if _, err := s.View(context.Background()); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("view: %v, want ErrCorrupt", err)
	}
	if _, err := s.Begin(context.Background()); !errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("begin: %v, want ErrCorrupt", err)
	}
	if data := readRecords(t, e); data != "" {
		t.Errorf("the damaged file was written: %q", data)
	}
}

func TestEmptyStoreOpens(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	writeRecords(t, e, "")
	if ids := listIDs(t, s); len(ids) != 0 {
		t.Errorf("layers %v", ids)
	}
}
