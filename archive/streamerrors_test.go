package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

func TestStreamRefuses(t *testing.T) {
	global := testutil.Tar(t, testutil.Entry{Name: "a"})
	badSum := bytes.Clone(global)
	badSum[148] ^= 1
	tests := []struct {
		name string
		data []byte
		kind error
		text string
	}{
		{"text", []byte(strings.Repeat("no tar at all\n", 100)), errdefs.ErrCorrupt, "invalid tar header"},
		{"short text", []byte("no tar"), errdefs.ErrCorrupt, "unexpected EOF"},
		{"bad checksum", badSum, errdefs.ErrCorrupt, "invalid tar header"},
		{"same name", testutil.Tar(t, testutil.Entry{Name: "a/b"}, testutil.Entry{Name: "a/b"}), errdefs.ErrInvalid, `"a/b"`},
		{"same cleaned name", testutil.Tar(t, testutil.Entry{Name: "a/b"}, testutil.Entry{Name: "./a//b"}), errdefs.ErrInvalid, `"a/b"`},
		{"same name below the root", testutil.Tar(t, testutil.Entry{Name: "a/b"}, testutil.Entry{Name: "/a/b/"}), errdefs.ErrInvalid, `"a/b"`},
		{"climbs", testutil.Tar(t, testutil.Entry{Name: "../a"}), errdefs.ErrInvalid, "../a"},
		{"climbs and comes back", testutil.Tar(t, testutil.Entry{Name: "a/../../b/a"}), errdefs.ErrInvalid, "climbs"},
		{"climbs from the top", testutil.Tar(t, testutil.Entry{Name: "/../a"}), errdefs.ErrInvalid, "climbs"},
		{"nobody's owner", testutil.Tar(t, testutil.Entry{Name: "a", UID: 1<<32 - 1}), errdefs.ErrInvalid, "owner"},
		{"block after a zero block", append(make([]byte, 512), global...), errdefs.ErrCorrupt, "invalid tar header"},
	}
	for _, tt := range tests {
		for _, asBytes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s bytes=%v", tt.name, asBytes), func(t *testing.T) {
				_, _, err := readAll(tt.data, StreamOptions{}, asBytes)
				if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error = %v, want %v with %q", err, tt.kind, tt.text)
				}
			})
		}
	}
}

func TestStreamLimits(t *testing.T) {
	data := testutil.Tar(t,
		testutil.Entry{Name: "a/b/c/d", Body: strings.Repeat("x", 1000)},
		testutil.Entry{Name: "e", Xattrs: map[string]string{"user.big": strings.Repeat("v", 3000)}},
	)
	size := int64(len(data))
	tests := []struct {
		name   string
		limits Limits
		ok     bool
	}{
		{"bytes just enough", Limits{MaxBytes: size}, true},
		{"one byte short", Limits{MaxBytes: size - 1}, false},
		{"entries just enough", Limits{MaxEntries: 2}, true},
		{"one entry short", Limits{MaxEntries: 1}, false},
		{"depth just enough", Limits{MaxDepth: 4}, true},
		{"one component short", Limits{MaxDepth: 3}, false},
		{"headers just enough", Limits{MaxHeader: 24 + 512 + 3072 + 512}, true},
		{"headers short", Limits{MaxHeader: 24 + 512 + 3072 + 511}, false},
	}
	for _, tt := range tests {
		for _, asBytes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s bytes=%v", tt.name, asBytes), func(t *testing.T) {
				_, _, err := readAll(data, StreamOptions{Limits: tt.limits}, asBytes)
				if tt.ok && err != nil || !tt.ok && !errors.Is(err, errdefs.ErrLimit) {
					t.Errorf("error = %v, want ok=%v", err, tt.ok)
				}
			})
		}
	}
}

// Extended headers that never end must not fill the memory.
func TestStreamEndlessHeaders(t *testing.T) {
	block := gnuLongName(strings.Repeat("n", 1000))
	endless := io.MultiReader(bytes.NewReader(bytes.Repeat(block, 100)), neverEnding(block))
	s := NewStream(endless, StreamOptions{Limits: Limits{MaxHeader: 1 << 20}})
	if _, err := s.next(); !errors.Is(err, errdefs.ErrLimit) {
		t.Fatalf("error = %v, want ErrLimit", err)
	}
}

type neverEnding []byte

func (n neverEnding) Read(p []byte) (int, error) { return copy(p, n[:min(len(p), len(n))]), nil }

// A reader's error is passed on as it is, wherever it strikes.
func TestStreamReaderError(t *testing.T) {
	data, broken := plainLayer(t), errors.New("disk on fire")
	for n := 0; n < 20*512; n += 101 {
		for _, asBytes := range []bool{false, true} {
			s := NewStream(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)), StreamOptions{Split: io.Discard})
			var err error
			if asBytes {
				_, err = io.Copy(io.Discard, s)
			} else {
				err = s.Finish()
			}
			if !errors.Is(err, broken) || errors.Is(err, errdefs.ErrCorrupt) {
				t.Fatalf("error after %d bytes = %v, want the reader's", n, err)
			}
		}
	}
}

func TestStreamSplitError(t *testing.T) {
	full := errors.New("disk full")
	s := NewStream(bytes.NewReader(plainLayer(t)), StreamOptions{Split: failingWriter{full}})
	if err := s.Finish(); !errors.Is(err, full) {
		t.Fatalf("error = %v, want the writer's", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestGlobalHeaderIsReadAlike: of a global header's records archive/tar takes those that a random
// order puts before the first that it can not read. A name among them must not decide whether
// the next one is there twice.
func TestGlobalHeaderIsReadAlike(t *testing.T) {
	var data []byte
	for _, records := range []string{"16 mtime=15\x0e0.0\n16 path=global1\n", "8 path=\n"} {
		block := make([]byte, 2*blockSize)
		copy(block, "global")
		copy(block[100:], "0000644\x000000000\x000000000\x00")
		copy(block[124:], fmt.Sprintf("%011o\x0000000000000\x00", len(records)))
		copy(block[156:], "g")
		copy(block[257:], "ustar\x0000")
		copy(block[blockSize:], records)
		data = append(data, block...)
	}
	data = fixSums(append(data, make([]byte, 2*blockSize)...))
	for range 100 {
		for _, asBytes := range []bool{false, true} {
			if _, _, err := readAll(data, StreamOptions{}, asBytes); err == nil || !strings.Contains(err.Error(), "\"global\" is in it twice") {
				t.Fatalf("%v, bytes %t", err, asBytes)
			}
		}
	}
}
