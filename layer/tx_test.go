package layer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

func TestCreateErrors(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	base := create(t, s, CreateOptions{ID: "lay1", Names: []string{"first", "second", "first"}})
	if !slices.Equal(base.Names, []string{"first", "second"}) {
		t.Errorf("names %v", base.Names)
	}
	tests := []struct {
		name    string
		opts    CreateOptions
		want    error
		text    string
		subject string
	}{
		{"ID in use", CreateOptions{ID: "lay1"}, ErrDuplicateID, "that ID is already in use", "lay1"},
		{"name in use", CreateOptions{Names: []string{"new", "second"}}, ErrDuplicateName, "that name is already in use", "second"},
		{"unknown parent", CreateOptions{Parent: "nope"}, ErrUnknown, "layer not known", "nope"},
		{"ID that leaves the directory", CreateOptions{ID: "../../x"}, errdefs.ErrInvalid, "", ""},
		{"empty name", CreateOptions{Names: []string{""}}, errdefs.ErrInvalid, "", ""},
		{"bad data key", CreateOptions{BigData: []Datum{{Key: ".."}}}, errdefs.ErrInvalid, "", ""},
		{"storage option nobody knows", CreateOptions{StorageOpt: map[string]string{"colour": "red"}}, errdefs.ErrInvalid, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := s.Begin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Close()
			_, err = tx.Create(context.Background(), tt.opts)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Errorf("text %q, want %q", err, tt.text)
			}
			var subject *SubjectError
			if tt.subject != "" && (!errors.As(err, &subject) || subject.Subject != tt.subject) {
				t.Errorf("the error is not about %q", tt.subject)
			}
			if err := tx.Commit(context.Background()); err != nil {
				t.Fatal(err)
			}
			if ids := listIDs(t, s); !slices.Equal(ids, []ID{"lay1"}) {
				t.Errorf("layers %v", ids)
			}
		})
	}
}

func TestCreateKeepsWhatItIsGiven(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		created := time.Date(2024, 3, 9, 16, 0, 0, 123, time.FixedZone("x", 3600))
		l := create(t, s, CreateOptions{
			Names: []string{"n"}, Metadata: "text", MountLabel: "", Created: created,
			Flags:   map[string]json.RawMessage{"mine": json.RawMessage(`{"a": [1,2]}`)},
			BigData: []Datum{{"config.json", []byte("{}")}, {"A_b", nil}},
		})
		l = get(t, s, l.ID)
		want := Record{
			ID: l.ID, Names: []string{"n"}, Metadata: "text", Created: created.UTC(),
			Flags:        map[string]json.RawMessage{"mine": json.RawMessage(`{"a":[1,2]}`)},
			BigDataNames: []string{"config.json", "A_b"},
		}
		if d := cmp.Diff(want, l.Record); d != "" {
			t.Errorf("record (-want +got):\n%s", d)
		}
		view(t, s, func(tx *ReadTx) {
			for key, want := range map[string]string{"config.json": "{}", "A_b": ""} {
				if data, err := tx.BigData(context.Background(), l.ID, key); err != nil || string(data) != want {
					t.Errorf("data item %s: %q, %v", key, data, err)
				}
			}
			if _, err := tx.BigData(context.Background(), l.ID, "nope"); !errors.Is(err, ErrDataUnknown) {
				t.Errorf("unknown data item: %v", err)
			}
		})
	})
}

func TestLookup(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	create(t, s, CreateOptions{ID: "abc1", Names: []string{"abc"}})
	create(t, s, CreateOptions{ID: "abc2"})
	create(t, s, CreateOptions{ID: "xyz", Names: []string{"abc2"}})
	tests := []struct {
		text string
		want ID
	}{
		{"abc1", "abc1"}, {"abc", "abc1"}, {"abc2", "abc2"}, {"x", "xyz"}, {"ab", ""}, {"", ""}, {"nope", ""},
	}
	view(t, s, func(tx *ReadTx) {
		for _, tt := range tests {
			id, err := tx.Lookup(tt.text)
			if id != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("%q: %q, %v; want %q", tt.text, id, err, tt.want)
			}
			if err != nil && (!errors.Is(err, ErrUnknown) || err.Error() != "layer not known") {
				t.Errorf("%q: %v", tt.text, err)
			}
		}
	})
}

func TestNames(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	create(t, s, CreateOptions{ID: "l1", Names: []string{"a", "b"}})
	create(t, s, CreateOptions{ID: "l2", Names: []string{"c"}})
	steps := []struct {
		name   string
		change func(tx *WriteTx) error
		l1, l2 []string
	}{
		{"add in front", func(tx *WriteTx) error { return tx.AddNames("l1", "x", "y") }, []string{"x", "y", "a", "b"}, []string{"c"}},
		{"take from another", func(tx *WriteTx) error { return tx.AddNames("l2", "y", "b") }, []string{"x", "a"}, []string{"y", "b", "c"}},
		{"add what is there", func(tx *WriteTx) error { return tx.AddNames("l1", "a") }, []string{"a", "x"}, []string{"y", "b", "c"}},
		{"remove", func(tx *WriteTx) error { return tx.RemoveNames("l2", "b", "nope") }, []string{"a", "x"}, []string{"y", "c"}},
		{"set", func(tx *WriteTx) error { return tx.SetNames("l1", "p", "q", "p") }, []string{"p", "q"}, []string{"y", "c"}},
		{"set none", func(tx *WriteTx) error { return tx.SetNames("l1") }, nil, []string{"y", "c"}},
	}
	for _, step := range steps {
		write(t, s, func(tx *WriteTx) {
			if err := step.change(tx); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
		})
		if l := get(t, s, "l1"); !slices.Equal(l.Names, step.l1) {
			t.Errorf("%s: l1 has %v, want %v", step.name, l.Names, step.l1)
		}
		if l := get(t, s, "l2"); !slices.Equal(l.Names, step.l2) {
			t.Errorf("%s: l2 has %v, want %v", step.name, l.Names, step.l2)
		}
	}
	write(t, s, func(tx *WriteTx) {
		if err := tx.SetNames("nope", "n"); !errors.Is(err, ErrUnknown) {
			t.Errorf("names of an unknown layer: %v", err)
		}
		if err := tx.SetNames("l1", ""); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("empty name: %v", err)
		}
	})
}

func TestMetadataFlagsAndData(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := create(t, s, CreateOptions{})
	ctx := context.Background()
	write(t, s, func(tx *WriteTx) {
		errs := []error{
			tx.SetMetadata(l.ID, "text\n"),
			tx.SetFlag(l.ID, FlagExpectedDiffID, json.RawMessage(`"sha256:x"`)),
			tx.SetBigData(ctx, l.ID, "one", []byte("1")),
			tx.SetBigData(ctx, l.ID, "two", []byte("2")),
			tx.SetBigData(ctx, l.ID, "one", []byte("3")),
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"incomplete is not for callers": tx.SetFlag(l.ID, FlagIncomplete, json.RawMessage("true")),
			"a flag that is no JSON":        tx.SetFlag(l.ID, "f", json.RawMessage("{")),
			"a key that is no file name":    tx.SetBigData(ctx, l.ID, "..", nil),
		} {
			if !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	l = get(t, s, l.ID)
	if l.Metadata != "text\n" || !slices.Equal(l.BigDataNames, []string{"one", "two"}) || len(l.Flags) != 1 {
		t.Errorf("record %+v", l.Record)
	}
	view(t, s, func(tx *ReadTx) {
		if data, err := tx.BigData(ctx, l.ID, "one"); err != nil || string(data) != "3" {
			t.Errorf("data %q, %v", data, err)
		}
	})
	write(t, s, func(tx *WriteTx) {
		if err := tx.SetFlag(l.ID, FlagExpectedDiffID, nil); err != nil {
			t.Error(err)
		}
	})
	if l := get(t, s, l.ID); len(l.Flags) != 0 {
		t.Errorf("flags %v", l.Flags)
	}
}

func TestCloseUndoesWhatWasMade(t *testing.T) {
	eachDriver(t, func(t *testing.T, e *env) {
		s := e.open(t)
		ctx := context.Background()
		kept := load(t, s, "", baseTar(t))
		st, err := s.Stage(ctx, StageOptions{Parent: kept.ID}, bytes.NewReader(upperTar(t)))
		if err != nil {
			t.Fatal(err)
		}
		defer discard(t, st)
		tx, err := s.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		adopted, err := tx.Adopt(ctx, st, CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Create(ctx, CreateOptions{Parent: adopted.ID}); err != nil {
			t.Fatal(err)
		}
		if err := tx.SetMetadata(kept.ID, "dropped"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Close(); err != nil {
			t.Fatal(err)
		}
		if ids := listIDs(t, s); !slices.Equal(ids, []ID{kept.ID}) {
			t.Errorf("layers %v", ids)
		}
	})
}

func TestClosedTransaction(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	l := create(t, s, CreateOptions{})
	ctx := context.Background()
	tx, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Close(); err != nil {
		t.Errorf("Close after Commit: %v", err)
	}
	_, createErr := tx.Create(ctx, CreateOptions{ID: l.ID})
	_, getErr := tx.Get(l.ID)
	_, lookupErr := tx.Lookup(string(l.ID))
	_, layersErr := tx.Layers()
	_, chainErr := tx.Chain(l.ID)
	_, byErr := tx.ByDiffID("x")
	_, byChainErr := tx.ByChainID("x")
	_, deleteErr := tx.Delete(ctx, l.ID)
	for name, err := range map[string]error{
		"Create": createErr, "Get": getErr, "Lookup": lookupErr, "Layers": layersErr, "Chain": chainErr,
		"ByDiffID": byErr, "ByChainID": byChainErr, "Delete": deleteErr, "Commit": tx.Commit(ctx),
		"SetNames": tx.SetNames(l.ID, "x"), "SetMetadata": tx.SetMetadata(l.ID, "x"),
		"SetBigData": tx.SetBigData(ctx, l.ID, "x", nil), "RemoveNames": tx.RemoveNames(l.ID),
	} {
		if !errors.Is(err, ErrTxClosed) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if len(tx.IDs()) != 0 || tx.Exists(l.ID) || len(tx.Children(l.ID)) != 0 {
		t.Error("a closed transaction still answers")
	}
}

// writeRecords replaces layers.json as another engine would.
func writeRecords(t testing.TB, e *env, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.graphDir(), stableName), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readRecords(t testing.TB, e *env) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.graphDir(), stableName))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUnknownMembersSurvive(t *testing.T) {
	e := newEnv(t, "vfs")
	s := e.open(t)
	create(t, s, CreateOptions{ID: "a"})
	create(t, s, CreateOptions{ID: "b"})
	data := readRecords(t, e)
	data = strings.ReplaceAll(data, `"id":`, `"later":{"x":[1, 2]},"id":`)
	writeRecords(t, e, data)
	write(t, s, func(tx *WriteTx) {
		if err := tx.SetMetadata("b", "m"); err != nil {
			t.Error(err)
		}
	})
	got := readRecords(t, e)
	if strings.Count(got, `"later":{"x":[1, 2]}`) != 2 {
		t.Errorf("members of others are lost: %s", got)
	}
	if first := strings.SplitAfter(data, "},{")[0]; !strings.HasPrefix(got, first[:len(first)-3]) {
		t.Errorf("an unchanged record was rewritten: %s", got)
	}
}

// failing is a driver whose methods fail where it is told.
type failing struct {
	graphdriver.Driver
	create error
}

func (f *failing) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if f.create != nil {
		return f.create
	}
	return f.Driver.Create(ctx, id, parent, opts)
}

func (f *failing) List(ctx context.Context) ([]graphdriver.ID, error) {
	return f.Driver.(graphdriver.Lister).List(ctx)
}
