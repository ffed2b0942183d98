package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	gobuild "go/build"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vbatts/tar-split/tar/asm"
	"github.com/vbatts/tar-split/tar/storage"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// plainLayer has an entry of every kind that the other engines' splitter takes.
func plainLayer(t testing.TB) []byte {
	long := strings.Repeat("d/", 120) + strings.Repeat("n", 255)
	return testutil.Tar(t,
		testutil.Entry{Name: "./", Mode: 0o711},
		testutil.Entry{Name: "etc/"},
		testutil.Entry{Name: "etc/passwd", Body: "root:x:0:0\n", Mtime: time.Unix(1700000000, 123456789)},
		testutil.Entry{Name: "etc/empty", UID: 12, GID: 4000000000},
		testutil.Entry{Name: "etc/<&>\u2028\"\\\t", Body: strings.Repeat("x", 512)},
		testutil.Entry{Name: "etc/\xff\xfe", Type: tar.TypeReg, Body: "not UTF-8"},
		testutil.Entry{Name: long, Body: "long name"},
		testutil.Entry{Name: "bin/su", Mode: 0o4755, Body: "setuid", Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}},
		testutil.Entry{Name: "bin/sh", Link: "/bin/dash"},
		testutil.Entry{Name: "bin/su2", Type: tar.TypeLink, Link: "bin/su", Mode: 0o4755},
		testutil.Entry{Name: "dev/null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666},
		testutil.Entry{Name: "dev/loop0", Type: tar.TypeBlock, Major: 7, Minor: 0},
		testutil.Entry{Name: "run/fifo", Type: tar.TypeFifo},
		testutil.Entry{Name: "etc/.wh.gone"},
		testutil.Entry{Name: "opq/.wh..wh..opq", UID: 77},
		testutil.Entry{Name: "big", Body: strings.Repeat("0123456789abcdef", 40000)},
	)
}

// referenceSplit is what tar-split's own packer writes.
func referenceSplit(data []byte) ([]byte, error) {
	var lines bytes.Buffer
	r, done, err := asm.NewInputTarStreamWithDone(bytes.NewReader(data), storage.NewJSONPacker(&lines), nil)
	if err != nil {
		return nil, err
	}
	_, copyErr := io.Copy(io.Discard, r)
	return lines.Bytes(), errors.Join(copyErr, <-done)
}

// readAll reads a tar through a stream, as bytes or as entries.
func readAll(data []byte, opts StreamOptions, bytesWanted bool) (*Stream, []byte, error) {
	s := NewStream(iotest.HalfReader(bytes.NewReader(data)), opts)
	var got []byte
	if bytesWanted {
		var err error
		if got, err = io.ReadAll(iotest.OneByteReader(s)); err != nil {
			return s, got, err
		}
	} else {
		for {
			if _, err := s.next(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return s, nil, err
			}
		}
	}
	return s, got, s.Finish()
}

// tarsOfOthers are the test files of Go's own parser, where the sources are there.
func tarsOfOthers(t testing.TB) map[string][]byte {
	found := map[string][]byte{"plain layer": plainLayer(t)}
	names, err := filepath.Glob(filepath.Join(gobuild.Default.GOROOT, "src/archive/tar/testdata/*.tar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(name)] = data
	}
	return found
}

// The lines are those that the other engines' splitter makes, byte for byte.
func TestSplitIsTheReference(t *testing.T) {
	for name, data := range tarsOfOthers(t) {
		if differsByIntent(data) {
			continue
		}
		want, err := referenceSplit(data)
		if err != nil || name == "pax-path-hdr.tar" {
			continue // refused there; or here, for a header without its entry
		}
		for _, asBytes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s bytes=%v", name, asBytes), func(t *testing.T) {
				var lines bytes.Buffer
				s, got, err := readAll(data, StreamOptions{Split: &lines}, asBytes)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), lines.String()); diff != "" {
					t.Errorf("lines (-tar-split +ours):\n%s", diff)
				}
				if asBytes && !bytes.Equal(got, data) {
					t.Error("other bytes came out")
				}
				if s.Bytes() != int64(len(data)) {
					t.Errorf("Bytes = %d, want %d", s.Bytes(), len(data))
				}
			})
		}
	}
}

// differsByIntent reports whether a tar has sparse files, or links or
// directories with a size. The reference's lines for those can not be put
// together again, and it fills holes of exabytes.
func differsByIntent(data []byte) bool {
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if err != nil {
			return false
		}
		if contentSize(hdr) != hdr.Size || isSparse(hdr) {
			return true
		}
	}
}

// contents finds files by their names in the tar, as a layer's tree would.
type contents map[string][]byte

func (c contents) Get(name string) (io.ReadCloser, error) {
	data, ok := c[path.Clean(name)]
	if !ok {
		return nil, fmt.Errorf("no file %q", name)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// treeOf has the files that would be on disk after unpacking.
func treeOf(t testing.TB, data []byte) contents {
	t.Helper()
	files := contents{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if err != nil {
			return files
		}
		if contentSize(hdr) > 0 && keptOnDisk(path.Clean(hdr.Name)) && !isSparse(hdr) {
			if files[path.Clean(hdr.Name)], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever the stream takes, tar-split's own assembler puts together again.
func TestSplitAssemblesByTheReference(t *testing.T) {
	tars := tarsOfOthers(t)
	tars["no entries"] = make([]byte, 1024)
	tars["nothing"] = nil
	tars["one zero block"] = make([]byte, 512)
	tars["long tail"] = append(plainLayer(t), make([]byte, 3<<20+5)...)
	tars["text behind the end"] = append(plainLayer(t), "text"...)
	tars["no end marker"] = bytes.TrimSuffix(plainLayer(t), make([]byte, 1024))
	tars["cut in the last padding"] = tarCutInPadding(t)
	tars["whiteout with content"] = testutil.Tar(t, testutil.Entry{Name: "a/.wh.b", Body: "why"}, testutil.Entry{Name: "a/c", Body: "c"})
	tars["aufs"] = testutil.Tar(t, testutil.Entry{Name: ".wh..wh.plnk/"}, testutil.Entry{Name: ".wh..wh.plnk/1.2", Body: "linked"})
	for name, data := range tars {
		for _, asBytes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s bytes=%v", name, asBytes), func(t *testing.T) {
				var lines bytes.Buffer
				_, _, err := readAll(data, StreamOptions{Split: &lines}, asBytes)
				if err != nil {
					t.Skip("not a valid layer:", err)
				}
				checkAssembles(t, data, lines.Bytes())
			})
		}
	}
}

func checkAssembles(t testing.TB, data, lines []byte) {
	t.Helper()
	var got bytes.Buffer
	err := asm.WriteOutputTarStream(treeOf(t, data), storage.NewJSONUnpacker(bytes.NewReader(lines)), &got)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Errorf("assembled %d bytes that differ from the %d of the tar", got.Len(), len(data))
	}
}

func tarCutInPadding(t testing.TB) []byte {
	data := testutil.Tar(t, testutil.Entry{Name: "a", Body: "abc"})
	return data[:len(data)-1024-100]
}

// Every accepted sparse tar comes back exactly although the reference refuses
// such tars.
func TestSplitOfSparse(t *testing.T) {
	for name, data := range sparseTars(t) {
		t.Run(name, func(t *testing.T) {
			var lines bytes.Buffer
			if _, _, err := readAll(data, StreamOptions{Split: &lines}, false); err != nil {
				t.Fatal(err)
			}
			checkAssembles(t, data, lines.Bytes())
			headers := 0
			err := asm.IterateHeaders(unpackedLines(lines.Bytes()), func(*tarSplitHeader) error { headers++; return nil })
			if err != nil || headers != 3 {
				t.Errorf("tar-split finds %d headers, error %v; want 3", headers, err)
			}
		})
	}
}

// A tar cut at any byte is an error unless the cut is between two entries, and
// says so with words that people look for.
func TestStreamTruncated(t *testing.T) {
	data := plainLayer(t)
	whole := map[int]bool{}
	for _, n := range entryEnds(t, data) {
		whole[n] = true
	}
	for n := range 40 * 512 {
		if at := n % 512; at > 1 && at < 511 && n%29 != 0 {
			continue
		}
		_, _, err := readAll(data[:n], StreamOptions{Split: io.Discard}, n%2 == 0)
		if whole[n] {
			if err != nil {
				t.Errorf("cut at %d, between entries: %v", n, err)
			}
			continue
		}
		if err == nil && !inPadding(t, data, n) {
			t.Errorf("cut at %d: no error", n)
		}
		if err != nil && (!errors.Is(err, errdefs.ErrCorrupt) || !namesCut(err)) {
			t.Errorf("cut at %d: error = %v", n, err)
		}
	}
}

func namesCut(err error) bool {
	return strings.Contains(err.Error(), "unexpected EOF") || strings.Contains(err.Error(), "invalid tar header")
}

// entryEnds returns the offsets at which an entry with its padding ends, and
// those of contents, from where on only padding is missing.
func entryEnds(t testing.TB, data []byte) []int {
	t.Helper()
	ends := []int{0}
	in := &countingReader{r: bytes.NewReader(data)}
	r := tar.NewReader(in)
	for {
		hdr, err := r.Next()
		if err != nil {
			return ends
		}
		n := in.n + contentSize(hdr)
		ends = append(ends, int(n)+padOf(n))
	}
}

func inPadding(t testing.TB, data []byte, n int) bool {
	t.Helper()
	in := &countingReader{r: bytes.NewReader(data)}
	r := tar.NewReader(in)
	for {
		hdr, err := r.Next()
		if err != nil {
			return false
		}
		if end := int(in.n + contentSize(hdr)); n >= end && n <= end+padOf(int64(end)) {
			return true
		}
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestStreamOwners(t *testing.T) {
	data := testutil.Tar(t,
		testutil.Entry{Name: "a", UID: 7, GID: 3}, testutil.Entry{Name: "b", UID: 0, GID: 9},
		testutil.Entry{Name: ".wh.c", UID: 5, GID: 5}, testutil.Entry{Name: "d/", UID: 4294967294, GID: 9})
	s, _, err := readAll(data, StreamOptions{}, false)
	if err != nil {
		t.Fatal(err)
	}
	uids, gids := s.Owners()
	if !slices.Equal(uids, []uint32{0, 7, 4294967294}) || !slices.Equal(gids, []uint32{3, 9}) || s.Entries() != 4 {
		t.Errorf("owners %v %v of %d entries", uids, gids, s.Entries())
	}
}

func TestStreamMixedUse(t *testing.T) {
	s := NewStream(bytes.NewReader(plainLayer(t)), StreamOptions{})
	if _, err := s.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.next(); !errors.Is(err, errdefs.ErrInvalid) {
		t.Fatalf("error = %v, want ErrInvalid", err)
	}
}
