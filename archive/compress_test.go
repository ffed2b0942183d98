package archive

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ulikunitz/xz"

	"github.com/stratastore/strata/errdefs"
)

// packedText returns text packed with any format, also those that are only read.
func packedText(t testing.TB, c Compression, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	var w io.WriteCloser
	var err error
	switch c {
	case Bzip2:
		return bzip2Text(t, text)
	case Xz:
		w, err = xz.NewWriter(&buf)
	default:
		w, err = Compress(&buf, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const (
	firstText  = "hello, layer\n"
	secondText = "second\n"
)

// bzip2Text has the two texts of these tests, as the bzip2 program packs them.
func bzip2Text(t testing.TB, text string) []byte {
	t.Helper()
	packed := map[string]string{
		strings.Repeat(firstText, 20): "QlpoOTFBWSZTWQ9T40UAAEXRgAAQQAQiRJAgIABQgBgFKoB5TCdEwmEwmk9J8TSeCcE0n4u5IpwoSAep8aKA",
		secondText:                    "QlpoOTFBWSZTWZbaWc8AAANBgAAQDgGIACAAMQwBDTGpzgB4u5IpwoSEttLOeA==",
	}
	data, err := base64.StdEncoding.DecodeString(packed[text])
	if err != nil || len(data) == 0 {
		t.Fatalf("no bzip2 form of %q: %v", text, err)
	}
	return data
}

var allFormats = []Compression{None, Bzip2, Gzip, Xz, Zstd}

func unpackAll(data []byte) (string, Compression, error) {
	r, c, err := Decompress(iotest.OneByteReader(bytes.NewReader(data)))
	if err != nil {
		return "", c, err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), c, err
}

func TestDecompress(t *testing.T) {
	text := strings.Repeat(firstText, 20)
	for _, c := range allFormats {
		t.Run(c.String(), func(t *testing.T) {
			data := append(packedText(t, c, text), packedText(t, c, secondText)...)
			got, format, err := unpackAll(data)
			if err != nil || format != c || got != text+secondText {
				t.Fatalf("got %q, %v, %v; want both streams as one", got, format, err)
			}
		})
	}
}

// A cut anywhere but between two streams must not pass for the end, nor may
// anything behind the last one.
func TestDecompressCutAndTrailing(t *testing.T) {
	text := strings.Repeat(firstText, 20)
	for _, c := range allFormats[1:] {
		first, second := packedText(t, c, text), packedText(t, c, secondText)
		data := append(bytes.Clone(first), second...)
		t.Run(c.String(), func(t *testing.T) {
			for n := detectLen; n < len(data); n++ {
				got, _, err := unpackAll(data[:n])
				if n == len(first) {
					if err != nil || got != text {
						t.Fatalf("first stream alone: %v", err)
					}
				} else if !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("cut at %d of %d (first stream %d): error = %v, want ErrCorrupt", n, len(data), len(first), err)
				}
			}
			for _, tail := range []string{"x", "xx", "garbage behind it all", "BZ", "\x1f\x8b", "\x28\xb5"} {
				if _, _, err := unpackAll(append(bytes.Clone(data), tail...)); !errors.Is(err, errdefs.ErrCorrupt) {
					t.Errorf("with %q behind it: error = %v, want ErrCorrupt", tail, err)
				}
			}
		})
	}
}

func TestDecompressFlippedBits(t *testing.T) {
	text := strings.Repeat(firstText, 20)
	for _, c := range allFormats[1:] {
		t.Run(c.String(), func(t *testing.T) {
			data := packedText(t, c, text)
			for i := detectLen; i < len(data); i++ {
				bad := bytes.Clone(data)
				bad[i] ^= 0x10
				// A few bits of a header mean nothing; none may change the text.
				if got, _, err := unpackAll(bad); err == nil && got != text {
					t.Errorf("byte %d flipped: no error and another text", i)
				}
			}
		})
	}
}

func TestDecompressSkippableFrames(t *testing.T) {
	frame := "\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
	data := frame + string(packedText(t, Zstd, firstText)) + frame + string(packedText(t, Zstd, secondText)) + frame
	got, c, err := unpackAll([]byte(data))
	if err != nil || c != Zstd || got != firstText+secondText {
		t.Fatalf("got %q, %v, %v", got, c, err)
	}
}

func TestDecompressEmptyAndShort(t *testing.T) {
	for _, data := range []string{"", "a", "\x1f", "BZ", "12345"} {
		got, c, err := unpackAll([]byte(data))
		if err != nil || c != None || got != data {
			t.Errorf("%q: got %q, %v, %v; want it as it is", data, got, c, err)
		}
	}
}

// An error of the reader is no fault of the data.
func TestDecompressReaderError(t *testing.T) {
	broken := errors.New("network down")
	for _, c := range allFormats {
		data := packedText(t, c, secondText)
		for _, n := range []int{0, 3, len(data) / 2, len(data) - 1} {
			r, _, err := Decompress(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
			if err == nil {
				_, err = io.ReadAll(r)
				r.Close()
			}
			if !errors.Is(err, broken) || errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("%v after %d bytes: error = %v, want the reader's", c, n, err)
			}
		}
	}
}

// A frame that asks for more memory than any packer uses unasked.
func TestDecompressHugeWindow(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 0x01, 0x00, 0x00}
	if _, _, err := unpackAll(frame); !errors.Is(err, errdefs.ErrLimit) {
		t.Fatalf("error = %v, want ErrLimit", err)
	}
}

func TestCompressRefuses(t *testing.T) {
	for c, want := range map[Compression]string{Xz: "tar.xz", Bzip2: "tar.bz2"} {
		_, err := Compress(io.Discard, c)
		if !errors.Is(err, errdefs.ErrUnsupported) || !strings.Contains(err.Error(), "unsupported compression format "+want) {
			t.Errorf("%v: error = %v", c, err)
		}
	}
}

func TestCompressionNames(t *testing.T) {
	want := "none tar, bzip2 tar.bz2, gzip tar.gz, xz tar.xz, zstd tar.zst, Compression(9) "
	var got []string
	for _, c := range append(allFormats, Compression(9)) {
		got = append(got, fmt.Sprintf("%v %s", c, c.Extension()))
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %q, want %q", s, want)
	}
}

// FuzzDecompress: no bytes make a decoder panic, hang or fail without a reason.
func FuzzDecompress(f *testing.F) {
	for _, c := range allFormats {
		f.Add(packedText(f, c, secondText))
	}
	f.Add([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00skip"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, err := Decompress(bytes.NewReader(data))
		if err == nil {
			_, err = io.CopyN(io.Discard, r, 1<<22)
			r.Close()
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errdefs.ErrCorrupt) && !errors.Is(err, errdefs.ErrLimit) {
			t.Errorf("error = %v, want a kind", err)
		}
	})
}
