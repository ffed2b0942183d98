package recordfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/lockfile"
)

const created = `"created":"2026-11-21T08:43:47.033380096Z"`

func TestRead(t *testing.T) {
	x := newFixture(t,
		list(rec("aa1", `"names":["one","uno"]`), rec("ab2", `"parent":"aa1"`)),
		"-",
		list(rec("b3", `"parent":"aa1"`, `"flags":{"incomplete":true}`), rec("aa1", `"names":["other"]`)))
	tx := view(t, x.open())
	if got := ids(tx); got != "aa1 ab2 b3" || tx.Len() != 3 {
		t.Errorf("IDs %s, Len %d", got, tx.Len())
	}
	var all []string
	for r, err := range tx.All() {
		check(t, err)
		all = append(all, r.ID)
	}
	if diff := cmp.Diff(tx.IDs(), all); diff != "" {
		t.Error(diff)
	}
	r, ok, err := tx.Get("aa1")
	if err != nil || !ok || strings.Join(r.Names, " ") != "one uno" {
		t.Errorf("Get = %+v, %t, %v", r, ok, err)
	}
	if _, ok, err := tx.Get("aa"); ok || err != nil {
		t.Errorf("Get of nothing: %t, %v", ok, err)
	}
	if id, ok := tx.ByName("uno"); !ok || id != "aa1" {
		t.Errorf("ByName = %s, %t", id, ok)
	}
	if _, ok := tx.ByName("other"); ok {
		t.Error("a record that does not count has its name")
	}
	if got := strings.Join(tx.By("parent", "aa1"), " "); got != "ab2 b3" {
		t.Errorf("By parent = %s", got)
	}
	if got := strings.Join(tx.By("incomplete", "true"), " "); got != "b3" {
		t.Errorf("By incomplete = %s", got)
	}
	if got := strings.Join(tx.Values("parent", "b3"), " "); got != "aa1" || tx.Values("parent", "none") != nil {
		t.Errorf("Values = %s", got)
	}
	if tx.FileOf("ab2") != 0 || tx.FileOf("b3") != 2 || tx.FileOf("none") != -1 {
		t.Errorf("FileOf = %d, %d, %d", tx.FileOf("ab2"), tx.FileOf("b3"), tx.FileOf("none"))
	}
}

func TestLookup(t *testing.T) {
	x := newFixture(t, list(rec("abc1", `"names":["abd"]`), rec("abd2"), rec("abd", `"names":["x","abc1"]`)))
	tests := []struct{ name, text, want string }{
		{"exact ID", "abc1", "abc1"},
		{"ID before name", "abd", "abd"},
		{"name", "x", "abd"},
		{"unique prefix", "abc", "abc1"},
		{"ambiguous prefix", "ab", ""},
		{"unknown", "z", ""},
		{"empty", "", ""},
	}
	tx := view(t, x.open())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tx.Lookup(tt.text)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("Lookup(%q) = %q, %v", tt.text, got, err)
			}
			if err != nil && (!errors.Is(err, errUnknown) || !errors.Is(err, errdefs.ErrNotFound)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	a, b, c := rec("a", `"names":["n"]`), rec("b", `"x": [ 1.0 ]`), rec("c")
	tests := []struct {
		name   string
		change func(tx *WriteTx[layerRecord]) error
		want   string // of the file
		ids    string
	}{
		{"nothing", func(*WriteTx[layerRecord]) error { return nil }, " " + list(a, b, c), "a b c"},
		{
			"no difference",
			func(tx *WriteTx[layerRecord]) error { return tx.Update("b", func(*layerRecord) error { return nil }) },
			" " + list(a, b, c), "a b c",
		},
		{
			"update", func(tx *WriteTx[layerRecord]) error {
				return tx.Update("b", func(r *layerRecord) error { r.Metadata = "<m>"; return nil })
			},
			list(a, `{"id":"b","metadata":"\u003cm\u003e",`+created+`,"x":[ 1.0 ]}`, c), "a b c",
		},
		{
			"update twice", func(tx *WriteTx[layerRecord]) error {
				return errors.Join(
					tx.Update("a", func(r *layerRecord) error { r.Metadata = "1"; return nil }),
					tx.Update("a", func(r *layerRecord) error { r.Metadata += "2"; return nil }))
			},
			list(`{"id":"a","names":["n"],"metadata":"12",`+created+`}`, b, c), "a b c",
		},
		{"delete", func(tx *WriteTx[layerRecord]) error { return tx.Delete("b") }, list(a, c), "a c"},
		{
			"insert", func(tx *WriteTx[layerRecord]) error {
				return tx.Insert(0, layerRecord{ID: "d", Names: []string{"x", "y", "x"}})
			},
			list(a, b, c, `{"id":"d","names":["x","y"],"created":"0001-01-01T00:00:00Z"}`), "a b c d",
		},
		{
			"delete and insert", func(tx *WriteTx[layerRecord]) error {
				return errors.Join(tx.Delete("a"), tx.Insert(0, layerRecord{ID: "a", Parent: "b"}))
			},
			list(b, c, `{"id":"a","parent":"b","created":"0001-01-01T00:00:00Z"}`), "b c a",
		},
		{
			"insert, change, delete", func(tx *WriteTx[layerRecord]) error {
				return errors.Join(
					tx.Insert(0, layerRecord{ID: "d"}), tx.Insert(0, layerRecord{ID: "e"}),
					tx.Update("d", func(r *layerRecord) error { r.Metadata = "m"; return nil }), tx.Delete("e"))
			},
			list(a, b, c, `{"id":"d","metadata":"m","created":"0001-01-01T00:00:00Z"}`), "a b c d",
		},
		{
			"names move", func(tx *WriteTx[layerRecord]) error { return tx.AssignNames("c", []string{"m", "n", "m"}) },
			list(rec("a"), b, `{"id":"c","names":["m","n"],`+created+`}`), "a b c",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := newFixture(t, " "+list(a, b, c))
			s := x.open()
			tx := begin(t, s)
			check(t, tt.change(tx))
			if got := ids(&tx.ReadTx); got != tt.ids || tx.Len() != len(tx.IDs()) {
				t.Errorf("in the transaction: %s, Len %d", got, tx.Len())
			}
			x.want(t, 0, " "+list(a, b, c))
			check(t, tx.Commit(t.Context()))
			x.want(t, 0, tt.want)
			for _, s := range []*Store[layerRecord]{s, x.open()} {
				if got := seen(t, s); got != tt.ids {
					t.Errorf("afterwards: %s", got)
				}
			}
		})
	}
}

// The reading methods of a writing transaction see its changes.
func TestPendingState(t *testing.T) {
	x := newFixture(t, list(rec("a", `"names":["n"]`), rec("b", `"parent":"a"`), rec("c", `"parent":"a"`)), list(rec("v", `"parent":"a"`)))
	tx := begin(t, x.open())
	version := tx.Version()
	check(t, tx.Insert(0, layerRecord{ID: "d", Parent: "a"}))
	check(t, tx.Delete("b"))
	check(t, tx.Update("c", func(r *layerRecord) error { r.Parent = "d"; return nil }))
	check(t, tx.AssignNames("d", []string{"n"}))
	if got := strings.Join(tx.By("parent", "a"), " "); got != "d v" {
		t.Errorf("children of a: %s", got)
	}
	if got := strings.Join(tx.By("parent", "d"), " "); got != "c" {
		t.Errorf("children of d: %s", got)
	}
	if id, ok := tx.ByName("n"); !ok || id != "d" {
		t.Errorf("n is %s, %t", id, ok)
	}
	if r, _, err := tx.Get("a"); err != nil || len(r.Names) != 0 {
		t.Errorf("a has names %v, %v", r.Names, err)
	}
	if got := ids(&tx.ReadTx); got != "a c d v" {
		t.Errorf("IDs %s", got)
	}
	if tx.Version() == version || tx.Version() == (Version{}) {
		t.Error("the version did not change")
	}
	check(t, tx.Update("d", func(r *layerRecord) error { r.Names = nil; return nil }))
	if _, ok := tx.ByName("n"); ok {
		t.Error("n is still there")
	}
	if _, err := tx.Lookup("b"); !errors.Is(err, errUnknown) {
		t.Errorf("deleted record: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	errMine := errors.New("mine")
	tests := []struct {
		name   string
		change func(tx *WriteTx[layerRecord]) error
		want   error
	}{
		{"ID in use", func(tx *WriteTx[layerRecord]) error { return tx.Insert(0, layerRecord{ID: "r"}) }, errDuplicateID},
		{"name in use", func(tx *WriteTx[layerRecord]) error { return tx.Insert(0, layerRecord{ID: "x", Names: []string{"n"}}) }, errDuplicateName},
		{"no ID", func(tx *WriteTx[layerRecord]) error { return tx.Insert(0, layerRecord{}) }, errdefs.ErrInvalid},
		{"bad ID", func(tx *WriteTx[layerRecord]) error { return tx.Insert(0, layerRecord{ID: "../x"}) }, errdefs.ErrInvalid},
		{"insert read-only", func(tx *WriteTx[layerRecord]) error { return tx.Insert(1, layerRecord{ID: "x"}) }, errdefs.ErrReadOnly},
		{"delete read-only", func(tx *WriteTx[layerRecord]) error { return tx.Delete("r") }, errdefs.ErrReadOnly},
		{"name of a read-only record", func(tx *WriteTx[layerRecord]) error { return tx.AssignNames("a", []string{"rn"}) }, errdefs.ErrReadOnly},
		{"delete unknown", func(tx *WriteTx[layerRecord]) error { return tx.Delete("x") }, errUnknown},
		{"names of unknown", func(tx *WriteTx[layerRecord]) error { return tx.AssignNames("x", nil) }, errUnknown},
		{
			"ID changes",
			func(tx *WriteTx[layerRecord]) error {
				return tx.Update("a", func(r *layerRecord) error { r.ID = "z"; return nil })
			}, errdefs.ErrInvalid,
		},
		{
			"error of the change",
			func(tx *WriteTx[layerRecord]) error {
				return tx.Update("a", func(r *layerRecord) error { r.Metadata = "m"; return errMine })
			}, errMine,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := newFixture(t, list(rec("a", `"names":["n"]`)), list(rec("r", `"names":["rn"]`)))
			x.files[1].ReadOnly = true
			x.schema.CheckID = checkID
			tx := begin(t, x.open())
			version := tx.Version()
			if err := tt.change(tx); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if tx.Version() != version {
				t.Error("something changed")
			}
			check(t, tx.Commit(t.Context()))
			x.want(t, 0, list(rec("a", `"names":["n"]`)))
		})
	}
}

func checkID(id string) error {
	if strings.Contains(id, "/") {
		return fmt.Errorf("ID %q: %w", id, errdefs.ErrInvalid)
	}
	return nil
}

func TestClosed(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	s := x.open()
	tx := begin(t, s)
	check(t, tx.Delete("a"))
	check(t, tx.Close())
	check(t, tx.Close())
	_, _, getErr := tx.Get("a")
	_, lookupErr := tx.Lookup("a")
	var allErr error
	for _, err := range tx.All() {
		allErr = err
	}
	for i, err := range []error{
		tx.Insert(0, layerRecord{ID: "b"}), tx.Delete("a"), tx.AssignNames("a", nil),
		tx.Save(t.Context()), tx.Commit(t.Context()), getErr, lookupErr, allErr,
	} {
		if !errors.Is(err, ErrTxClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	_, named := tx.ByName("x")
	if tx.Len() != 0 || tx.IDs() != nil || tx.Has("a") || named || tx.By("parent", "a") != nil ||
		tx.Values("parent", "a") != nil || tx.FileOf("a") != -1 || tx.Version() != (Version{}) {
		t.Error("a closed transaction shows something")
	}
	x.want(t, 0, list(rec("a")))
	check(t, begin(t, s).Close())
}

func TestSaveTwice(t *testing.T) {
	x := newFixture(t, "-")
	tx := begin(t, x.open())
	for _, id := range []string{"a", "b"} {
		check(t, tx.Insert(0, layerRecord{ID: id}))
		check(t, tx.Save(t.Context()))
		data, err := os.ReadFile(x.files[0].Path)
		check(t, err)
		if !json.Valid(data) || !strings.Contains(string(data), `"id":"`+id+`"`) {
			t.Errorf("after saving %s: %s", id, data)
		}
	}
	if got := ids(&tx.ReadTx); got != "a b" {
		t.Errorf("IDs %s", got)
	}
}

func TestOnlyChangedFilesAreWritten(t *testing.T) {
	x := newFixture(t, list(rec("a")), " "+list(rec("b")))
	tx := begin(t, x.open())
	check(t, tx.Insert(0, layerRecord{ID: "c"}))
	check(t, tx.Commit(t.Context()))
	x.want(t, 1, " "+list(rec("b")))
	info, err := os.Stat(x.files[0].Path)
	check(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestReadOnlyStore(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	s := x.open(lockfile.Options{ReadOnly: true})
	if got := seen(t, s); got != "a" {
		t.Errorf("IDs %s", got)
	}
	if _, err := s.Begin(t.Context()); !errors.Is(err, errdefs.ErrReadOnly) {
		t.Errorf("Begin = %v", err)
	}
}

func TestCancelled(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	s := x.open()
	tx := begin(t, s)
	check(t, tx.Delete("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tx.Save(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Save = %v", err)
	}
	x.want(t, 0, list(rec("a")))
	check(t, tx.Close())
	if _, err := s.View(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("View = %v", err)
	}
	check(t, begin(t, s).Close())
}
