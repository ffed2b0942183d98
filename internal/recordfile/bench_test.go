package recordfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/lockfile"
)

// layerFile makes the text of n layer records as engines write them, about 700
// bytes each.
func layerFile(n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		writeLayer(&b, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

func layerID(i int) string { return fmt.Sprintf("%064x", 0xabcdef0123456789^uint64(i)) }

func writeLayer(b *bytes.Buffer, i int) {
	fmt.Fprintf(b, `{"id":"%s",`, layerID(i))
	if i%10 != 0 {
		fmt.Fprintf(b, `"parent":"%s",`, layerID(i-1))
	}
	if i%20 == 0 {
		fmt.Fprintf(b, `"names":["layer-%d"],"flags":{"k":"v"},`, i)
	}
	fmt.Fprintf(b, `"metadata":"{\"note\":\"%s\"}","created":"2026-11-21T08:43:47.033380096Z",`, strings.Repeat("n", 170))
	fmt.Fprintf(b, `"compressed-diff-digest":"sha256:%064x","compressed-size":%d,`, i*7, i*1000)
	fmt.Fprintf(b, `"diff-digest":"sha256:%064x","diff-size":%d,"compression":2,`, i*13, i*3000)
	b.WriteString(`"uidset":[0,33,1000],"gidset":[0,33,50]}`)
}

func BenchmarkParse(b *testing.B) {
	data := layerFile(10000)
	w := newWanted([]string{"id", "names", "parent", "diff-digest", "compressed-diff-digest", "toc-digest", "flags"},
		[]string{"metadata", "created", "compressed-size", "diff-size", "compression", "uidset", "gidset", "big-data-names", "uidmap", "gidmap", "mountlabel"})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(data, w); err != nil {
			b.Fatal(err)
		}
	}
}

type layerRecord struct {
	ID           string                     `json:"id"`
	Names        []string                   `json:"names,omitempty"`
	Parent       string                     `json:"parent,omitempty"`
	Metadata     string                     `json:"metadata,omitempty"`
	MountLabel   string                     `json:"mountlabel,omitempty"`
	Created      time.Time                  `json:"created"`
	BlobDigest   string                     `json:"compressed-diff-digest,omitempty"`
	BlobSize     int64                      `json:"compressed-size,omitempty"`
	DiffID       string                     `json:"diff-digest,omitempty"`
	TOCDigest    string                     `json:"toc-digest,omitempty"`
	DiffSize     int64                      `json:"diff-size,omitempty"`
	Compression  int                        `json:"compression,omitempty"`
	UIDs         []uint32                   `json:"uidset,omitempty"`
	GIDs         []uint32                   `json:"gidset,omitempty"`
	Flags        map[string]json.RawMessage `json:"flags,omitempty"`
	UIDMap       []json.RawMessage          `json:"uidmap,omitempty"`
	GIDMap       []json.RawMessage          `json:"gidmap,omitempty"`
	BigDataNames []string                   `json:"big-data-names,omitempty"`
}

var (
	errUnknown       = errdefs.New(errdefs.ErrNotFound, "layer not known")
	errDuplicateID   = errdefs.New(errdefs.ErrExists, "that ID is already in use")
	errDuplicateName = errdefs.New(errdefs.ErrExists, "that name is already in use")
)

func layerSchema() Schema[layerRecord] {
	return Schema[layerRecord]{
		Kind: "layer", Unknown: errUnknown, DuplicateID: errDuplicateID, DuplicateName: errDuplicateName,
		ID:       func(r *layerRecord) string { return r.ID },
		Names:    func(r *layerRecord) []string { return r.Names },
		SetNames: func(r *layerRecord, names []string) { r.Names = names },
		Indexes: map[string]string{
			"parent": "parent", "diff": "diff-digest", "blob": "compressed-diff-digest", "toc": "toc-digest",
			"incomplete": "flags.incomplete",
		},
	}
}

// benchStore writes a file of n layers and returns a function that opens it anew.
func benchStore(b *testing.B, n int) func() *Store[layerRecord] {
	b.Helper()
	dir := b.TempDir()
	path := filepath.Join(dir, "layers.json")
	if err := os.WriteFile(path, layerFile(n), 0o600); err != nil {
		b.Fatal(err)
	}
	schema := layerSchema()
	schema.NeedsRepair = func(tx *ReadTx[layerRecord]) bool { return len(tx.By("incomplete", "true")) > 0 }
	return func() *Store[layerRecord] {
		lock := lockfile.New(filepath.Join(dir, "layers.lock"), lockfile.Options{})
		return Open(schema, []File{{Path: path}}, []*lockfile.Lock{lock}, Options{})
	}
}

// lookUp is one reading transaction.
func lookUp(b *testing.B, s *Store[layerRecord]) {
	b.Helper()
	tx, err := s.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if _, ok, err := tx.Get(layerID(7000)); !ok || err != nil {
		b.Fatal(ok, err)
	}
	if err := tx.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkOpen is what a command pays: nothing read before, one layer looked up.
func BenchmarkOpen(b *testing.B) {
	open := benchStore(b, 10000)
	b.ReportAllocs()
	for b.Loop() {
		lookUp(b, open())
	}
}

// BenchmarkView is what a process pays that has the records already.
func BenchmarkView(b *testing.B) {
	store := benchStore(b, 10000)()
	lookUp(b, store)
	for b.Loop() {
		lookUp(b, store)
	}
}

// BenchmarkAll decodes every record.
func BenchmarkAll(b *testing.B) {
	store := benchStore(b, 10000)()
	tx, err := store.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer tx.Close()
	for b.Loop() {
		for _, err := range tx.All() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkSave changes one record of many; it is flushed to disk.
func BenchmarkSave(b *testing.B) {
	store := benchStore(b, 10000)()
	lookUp(b, store)
	n := 0
	for b.Loop() {
		n++
		tx, err := store.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		err = tx.Update(layerID(7000), func(r *layerRecord) error { r.Metadata = fmt.Sprint(n); return nil })
		if err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
