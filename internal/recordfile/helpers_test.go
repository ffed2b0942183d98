package recordfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/lockfile"
)

// fixture is a directory with record files and a lock.
type fixture struct {
	dir    string
	files  []File
	schema Schema[layerRecord]
	opts   Options
}

// newFixture writes files with these texts; "-" is no file.
func newFixture(t testing.TB, texts ...string) *fixture {
	t.Helper()
	x := &fixture{dir: t.TempDir(), schema: layerSchema()}
	for i, text := range texts {
		path := filepath.Join(x.dir, fmt.Sprintf("layers-%d.json", i))
		x.files = append(x.files, File{Path: path})
		if text != "-" {
			x.write(t, i, text)
		}
	}
	return x
}

func (x *fixture) write(t testing.TB, file int, text string) {
	t.Helper()
	if err := os.WriteFile(x.files[file].Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (x *fixture) open(opts ...lockfile.Options) *Store[layerRecord] {
	var o lockfile.Options
	if len(opts) > 0 {
		o = opts[0]
	}
	lock := lockfile.New(filepath.Join(x.dir, "layers.lock"), o)
	return Open(x.schema, x.files, []*lockfile.Lock{lock}, x.opts)
}

// want compares a file with a text.
func (x *fixture) want(t *testing.T, file int, text string) {
	t.Helper()
	data, err := os.ReadFile(x.files[file].Path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(data)); diff != "" {
		t.Errorf("%s:\n%s", x.files[file].Path, diff)
	}
}

// soon is a context for what must not wait for a forgotten lock.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func view(t testing.TB, s *Store[layerRecord]) *ReadTx[layerRecord] {
	t.Helper()
	tx, err := s.View(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Close() })
	return tx
}

func begin(t testing.TB, s *Store[layerRecord]) *WriteTx[layerRecord] {
	t.Helper()
	tx, err := s.Begin(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Close() })
	return tx
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ids(tx *ReadTx[layerRecord]) string { return strings.Join(tx.IDs(), " ") }

// seen returns the IDs that a short View shows.
func seen(t testing.TB, s *Store[layerRecord]) string {
	t.Helper()
	tx := view(t, s)
	defer tx.Close()
	return ids(tx)
}

func count(t testing.TB, s *Store[layerRecord]) int {
	t.Helper()
	tx := view(t, s)
	defer tx.Close()
	return tx.Len()
}

// rec is the text of a record with members of its own.
func rec(id string, members ...string) string {
	all := append([]string{fmt.Sprintf(`"id":%q`, id)}, members...)
	return "{" + strings.Join(append(all, created), ",") + "}"
}

func list(records ...string) string { return "[" + strings.Join(records, ",") + "]" }
