package recordfile

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stratastore/strata/lockfile"
)

const flagged = `"flags":{"incomplete":true}`

// repairing adds a repair of flagged layers to x and counts its runs.
func (x *fixture) repairing(fail error) *int {
	runs := new(int)
	x.schema.NeedsRepair = func(tx *ReadTx[layerRecord]) bool { return len(tx.By("incomplete", "true")) > 0 }
	x.schema.Repair = func(_ context.Context, tx *WriteTx[layerRecord]) error {
		*runs++
		for _, id := range tx.By("incomplete", "true") {
			if err := tx.Delete(id); err != nil {
				return err
			}
		}
		return fail
	}
	return runs
}

func TestRepair(t *testing.T) {
	text := list(rec("a"), rec("b", flagged), rec("c"))
	for _, name := range []string{"View", "Begin"} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, text)
			runs := x.repairing(nil)
			s := x.open()
			if name == "View" {
				check(t, view(t, s).Close())
			} else {
				check(t, begin(t, s).Close())
			}
			x.want(t, 0, list(rec("a"), rec("c")))
			if got := seen(t, s); got != "a c" || *runs != 1 {
				t.Errorf("IDs %s after %d runs", got, *runs)
			}
		})
	}
}

func TestReadOnlyStoreIsNotRepaired(t *testing.T) {
	x := newFixture(t, list(rec("a", flagged)))
	runs := x.repairing(nil)
	if got := ids(view(t, x.open(lockfile.Options{ReadOnly: true}))); got != "a" || *runs != 0 {
		t.Errorf("IDs %s after %d runs", got, *runs)
	}
}

// A repair that fails must keep nobody out, and is not tried again before
// something changed.
func TestRepairFails(t *testing.T) {
	x := newFixture(t, list(rec("a", flagged)))
	runs := x.repairing(errors.New("busy"))
	s := x.open()
	for range 2 {
		tx := view(t, s)
		if got := ids(tx); got != "a" {
			t.Errorf("IDs %s", got)
		}
		check(t, tx.Close())
	}
	tx := begin(t, s)
	if got := ids(&tx.ReadTx); got != "a" || *runs != 1 {
		t.Errorf("IDs %s after %d runs", got, *runs)
	}
	check(t, tx.Insert(0, layerRecord{ID: "b"}))
	check(t, tx.Commit(t.Context()))
	check(t, view(t, s).Close())
	if *runs != 2 {
		t.Errorf("%d runs after a change", *runs)
	}
}

func TestRepairIsCancelled(t *testing.T) {
	x := newFixture(t, list(rec("a", flagged)))
	ctx, cancel := context.WithCancel(t.Context())
	x.repairing(nil)
	x.schema.Repair = func(ctx context.Context, _ *WriteTx[layerRecord]) error {
		cancel()
		return ctx.Err()
	}
	s := x.open()
	if _, err := s.View(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v", err)
	}
	x.repairing(nil)
	if got := seen(t, x.open()); got != "" {
		t.Errorf("IDs %s", got)
	}
}

// The last record keeps a name that several have, in memory and, when the store
// may be written, on disk.
func TestDuplicateNames(t *testing.T) {
	text := []string{list(rec("a", `"names":["n","m"]`), rec("b", `"names":["n","k"]`)), list(rec("c", `"names":["k"]`))}
	want := map[string]string{"a": "m", "b": "n", "c": "k"}
	for _, readOnly := range []bool{true, false} {
		x := newFixture(t, text...)
		tx := view(t, x.open(lockfile.Options{ReadOnly: readOnly}))
		for id, names := range want {
			r, _, err := tx.Get(id)
			if got := strings.Join(r.Names, " "); err != nil || got != names {
				t.Errorf("%s has names %q, %v", id, got, err)
			}
			if owner, ok := tx.ByName(names); !ok || owner != id {
				t.Errorf("%s belongs to %s", names, owner)
			}
		}
		if readOnly {
			x.want(t, 0, text[0])
		} else {
			x.want(t, 0, list(rec("a", `"names":["m"]`), rec("b", `"names":["n"]`)))
		}
		x.want(t, 1, text[1])
	}
}

// A later record with an ID that was there before does not count, and is gone when
// its file is written.
func TestDuplicateIDs(t *testing.T) {
	x := newFixture(t, list(rec("a", `"metadata":"1"`), rec("a", `"metadata":"2"`)), list(rec("a", `"metadata":"3"`), rec("b")))
	s := x.open()
	tx := begin(t, s)
	r, _, err := tx.Get("a")
	if err != nil || r.Metadata != "1" || tx.Len() != 2 {
		t.Errorf("a is %q, %d records, %v", r.Metadata, tx.Len(), err)
	}
	check(t, tx.Insert(0, layerRecord{ID: "c"}))
	check(t, tx.Commit(t.Context()))
	x.want(t, 0, list(rec("a", `"metadata":"1"`), `{"id":"c","created":"0001-01-01T00:00:00Z"}`))
	x.want(t, 1, list(rec("a", `"metadata":"3"`), rec("b")))
	tx = begin(t, s)
	check(t, tx.Delete("a"))
	check(t, tx.Commit(t.Context()))
	x.want(t, 1, list(rec("a", `"metadata":"3"`), rec("b")))
}

// The store is written by somebody who may not, say on a medium that became
// read-only: what can be read is served.
func TestRepairWithoutPermission(t *testing.T) {
	x := newFixture(t, list(rec("a", `"names":["n"]`), rec("b", `"names":["n"]`)))
	x.files[0].ReadOnly = true
	s := x.open()
	if got := seen(t, s); got != "a b" {
		t.Errorf("IDs %s", got)
	}
	if _, err := os.Stat(x.files[0].Path); err != nil {
		t.Error(err)
	}
}
