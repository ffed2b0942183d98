package archive

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	tarsplit "github.com/vbatts/tar-split/archive/tar"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

type tarSplitHeader = tarsplit.Header

func unpackedLines(lines []byte) storage.Unpacker {
	return storage.NewJSONUnpacker(bytes.NewReader(lines))
}

// rawBlock is a header block that a tar writer would not write.
func rawBlock(name string, typeflag byte, size int64, change func(block []byte)) []byte {
	b := make([]byte, blockSize)
	copy(b, name)
	copy(b[100:], "0000644\x00")
	copy(b[108:], "0000000\x00")
	copy(b[116:], "0000000\x00")
	copy(b[124:], octal(size))
	copy(b[136:], octal(1700000000))
	b[156] = typeflag
	copy(b[257:], "ustar  \x00")
	if change != nil {
		change(b)
	}
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func octal(n int64) string {
	if n >= 1<<33 {
		var b [12]byte
		binary.BigEndian.PutUint64(b[4:], uint64(n))
		b[0] = 0x80
		return string(b[:])
	}
	return fmt.Sprintf("%011o\x00", n)
}

func padded(body string) []byte {
	return append([]byte(body), make([]byte, padOf(int64(len(body))))...)
}

func gnuLongName(name string) []byte {
	return append(rawBlock("././@LongLink", tar.TypeGNULongName, int64(len(name)), nil), padded(name)...)
}

// paxHeader is an extended header with these records.
func paxHeader(records ...string) []byte {
	var body strings.Builder
	for i := 0; i < len(records); i += 2 {
		body.WriteString(paxRecord(records[i], records[i+1]))
	}
	return append(rawBlock("PaxHeader", tar.TypeXHeader, int64(body.Len()), posix), padded(body.String())...)
}

func paxRecord(key, value string) string {
	size := len(key) + len(value) + 3
	for {
		record := fmt.Sprintf("%d %s=%s\n", size, key, value)
		if len(record) == size {
			return record
		}
		size = len(record)
	}
}

func posix(block []byte) { copy(block[257:], "ustar\x0000") }

// The sparse file of these tests: 10,000,000 bytes, two pieces of data.
const (
	sparseSize  = 10_000_000
	sparseData  = "first piece" + "second piece"
	sparseFirst = 4096
	sparseNext  = 9_000_000
)

func sparseContent() []byte {
	want := make([]byte, sparseSize)
	copy(want[sparseFirst:], "first piece")
	copy(want[sparseNext:], "second piece")
	return want
}

// oldSparse is GNU tar's first notation. Extents beyond the fourth go into
// blocks behind the header.
func oldSparse(name string, size int64, extents []extent, data string) []byte {
	var rest []byte
	head := rawBlock(name, tar.TypeGNUSparse, int64(len(data)), func(b []byte) {
		put(b[386:482], extents[:min(4, len(extents))])
		extents = extents[min(4, len(extents)):]
		if len(extents) > 0 {
			b[482] = 1
		}
		copy(b[483:], octal(size))
	})
	for len(extents) > 0 {
		b := make([]byte, blockSize)
		put(b, extents[:min(21, len(extents))])
		extents = extents[min(21, len(extents)):]
		if len(extents) > 0 {
			b[504] = 1
		}
		rest = append(rest, b...)
	}
	return append(append(head, rest...), padded(data)...)
}

func put(table []byte, extents []extent) {
	for i, e := range extents {
		copy(table[24*i:], octal(e.offset))
		copy(table[24*i+12:], octal(e.length))
	}
}

var twoExtents = []extent{{sparseFirst, 11}, {sparseNext, 12}}

// manyExtents are the same data, a byte at a time.
func manyExtents() (list []extent) {
	for i := range int64(11) {
		list = append(list, extent{sparseFirst + i, 1})
	}
	for i := range int64(12) {
		list = append(list, extent{sparseNext + i, 1})
	}
	return append(list, extent{sparseSize, 0})
}

// sparseTars are one file between two others, in every notation.
func sparseTars(t testing.TB) map[string][]byte {
	map1 := padded("2\n4096\n11\n9000000\n12\n")
	parts := map[string][]byte{
		"old":      oldSparse("d/sparse", sparseSize, twoExtents, sparseData),
		"old long": oldSparse("d/sparse", sparseSize, manyExtents(), sparseData),
		"old with long name": append(gnuLongName("d/sparse"),
			oldSparse("ignored", sparseSize, twoExtents, sparseData)...),
		"pax 0.0": append(paxHeader("GNU.sparse.size", "10000000", "GNU.sparse.numblocks", "2",
			"GNU.sparse.offset", "4096", "GNU.sparse.numbytes", "11", "GNU.sparse.offset", "9000000", "GNU.sparse.numbytes", "12"),
			append(rawBlock("d/sparse", tar.TypeReg, 23, posix), padded(sparseData)...)...),
		"pax 0.1": append(paxHeader("GNU.sparse.size", "10000000", "GNU.sparse.numblocks", "2",
			"GNU.sparse.map", "4096,11,9000000,12", "GNU.sparse.name", "d/sparse"),
			append(rawBlock("GNUSparseFile.0/x", tar.TypeReg, 23, posix), padded(sparseData)...)...),
		"pax 1.0": append(paxHeader("GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "d/sparse", "GNU.sparse.realsize", "10000000"),
			append(rawBlock("GNUSparseFile.0/x", tar.TypeReg, int64(len(map1)+23), posix), append(map1, padded(sparseData)...)...)...),
	}
	tars := map[string][]byte{}
	for name, part := range parts {
		before := bytes.TrimSuffix(testutil.Tar(t, testutil.Entry{Name: "before", Body: "some text"}), make([]byte, 1024))
		tars[name] = append(append(before, part...), testutil.Tar(t, testutil.Entry{Name: "z/after", Body: "x"})...)
	}
	return tars
}

// The parser's own view of each file is the judge of ours.
func TestSparseExtents(t *testing.T) {
	for name, data := range sparseTars(t) {
		t.Run(name, func(t *testing.T) {
			s := NewStream(bytes.NewReader(data), StreamOptions{})
			r := tar.NewReader(bytes.NewReader(data))
			for range 3 {
				it, err := s.next()
				if err != nil {
					t.Fatal(err)
				}
				hdr, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				want, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if it.hdr.Name != hdr.Name || !bytes.Equal(fillHoles(t, s, it), want) {
					t.Errorf("%s differs from what the parser sees in %s", it.hdr.Name, hdr.Name)
				}
			}
		})
	}
}

func fillHoles(t *testing.T, s *Stream, it *item) []byte {
	t.Helper()
	data := make([]byte, it.hdr.Size)
	extents := it.sparse
	if extents == nil {
		extents = []extent{{0, it.size}}
	}
	for _, e := range extents {
		if err := s.readContent(data[e.offset : e.offset+e.length]); err != nil {
			t.Fatal(err)
		}
	}
	return data
}

func TestSparseRefused(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		kind error
	}{
		{"data missing", oldSparse("a", 100, []extent{{0, 50}}, "short"), errdefs.ErrCorrupt},
		{"too much data", oldSparse("a", 100, []extent{{0, 5}}, "too long"), errdefs.ErrCorrupt},
		{"beyond the end", oldSparse("a", 10, []extent{{8, 5}}, "12345"), errdefs.ErrCorrupt},
		{"overlap", oldSparse("a", 100, []extent{{0, 4}, {2, 4}}, "12345678"), errdefs.ErrCorrupt},
		{"map cut", oldSparse("a", sparseSize, manyExtents(), "")[:blockSize+100], errdefs.ErrCorrupt},
		{"data cut", oldSparse("a", 100, []extent{{0, 600}}, strings.Repeat("x", 600))[:blockSize+100], errdefs.ErrCorrupt},
		{"exabytes of nothing", oldSparse("a", 1<<62, []extent{{1<<62 - 1, 1}}, "x"), errdefs.ErrLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewStream(bytes.NewReader(tt.data), StreamOptions{Split: io.Discard})
			if err := s.Finish(); !errors.Is(err, tt.kind) {
				t.Errorf("error = %v, want %v", err, tt.kind)
			}
		})
	}
}
