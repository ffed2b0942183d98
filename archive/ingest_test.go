package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/testutil"
)

// noLeak fails the test if it leaves goroutines behind.
func noLeak(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(time.Minute)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<20)
				t.Fatalf("%d goroutines at the start, now:\n%s", before, buf[:runtime.Stack(buf, true)])
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// manyFiles is a layer of some MiB that does not pack too well.
func manyFiles(t testing.TB, n int) []byte {
	t.Helper()
	var entries []testutil.Entry
	seed := uint32(1)
	for i := range n {
		body := make([]byte, 20000)
		for j := range body {
			seed = seed*1664525 + 1013904223
			body[j] = "abcdefghijklmnop"[seed>>28]
		}
		entries = append(entries, testutil.Entry{Name: fmt.Sprintf("dir%d/file%d", i/50, i), Body: string(body)})
	}
	return testutil.Tar(t, entries...)
}

func packedWith(t testing.TB, c Compression, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := Compress(&buf, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestIngest(t *testing.T) {
	noLeak(t)
	diff := manyFiles(t, 300)
	applies := map[string]func(*bytes.Buffer) func(context.Context, io.Reader) error{
		"bytes": func(got *bytes.Buffer) func(context.Context, io.Reader) error {
			return func(_ context.Context, r io.Reader) error { _, err := io.Copy(got, r); return err }
		},
		"some bytes": func(got *bytes.Buffer) func(context.Context, io.Reader) error {
			return func(_ context.Context, r io.Reader) error { _, err := io.CopyN(got, r, 100000); return err }
		},
		"nothing": func(*bytes.Buffer) func(context.Context, io.Reader) error { return nil },
	}
	for _, c := range []Compression{None, Gzip, Zstd} {
		blob := packedWith(t, c, diff)
		for name, apply := range applies {
			t.Run(c.String()+" "+name, func(t *testing.T) {
				var got, lines bytes.Buffer
				var progress int64
				opts := IngestOptions{
					Split: &lines, Progress: func(n int64) { progress = n },
					Expect: testutil.Digest(diff), ExpectBlob: testutil.Digest(blob),
				}
				in, err := Ingest(t.Context(), iotest.HalfReader(bytes.NewReader(blob)), opts, apply(&got))
				if err != nil {
					t.Fatal(err)
				}
				want := Ingested{
					Blob: testutil.Digest(blob), BlobSize: int64(len(blob)), Compression: c,
					Diff: testutil.Digest(diff), DiffSize: int64(len(diff)),
					UIDs: []uint32{0}, GIDs: []uint32{0}, Entries: 300,
				}
				if d := cmp.Diff(want, in); d != "" {
					t.Errorf("ingested (-want +got):\n%s", d)
				}
				if !bytes.HasPrefix(diff, got.Bytes()) || progress != int64(len(blob)) {
					t.Errorf("%d bytes applied, progress %d", got.Len(), progress)
				}
				checkAssembles(t, diff, lines.Bytes())
			})
		}
	}
}

func TestIngestEmpty(t *testing.T) {
	noLeak(t)
	nothing := digest.FromBytes(nil)
	for _, blob := range [][]byte{nil, packedWith(t, Gzip, nil), packedWith(t, Zstd, nil)} {
		var lines bytes.Buffer
		in, err := Ingest(t.Context(), bytes.NewReader(blob), IngestOptions{Split: &lines}, nil)
		if err != nil || in.Diff != nothing || in.DiffSize != 0 || in.BlobSize != int64(len(blob)) || lines.Len() != 0 {
			t.Errorf("%d bytes: %+v, %v, %d bytes of lines", len(blob), in, err, lines.Len())
		}
	}
}

func TestIngestMismatch(t *testing.T) {
	diff := manyFiles(t, 3)
	blob, wrong := packedWith(t, Gzip, diff), digest.FromString("something else")
	tests := []struct {
		name  string
		opts  IngestOptions
		right digest.Digest
		kind  error
	}{
		{"diff", IngestOptions{Expect: wrong}, testutil.Digest(diff), errdefs.ErrCorrupt},
		{"blob", IngestOptions{ExpectBlob: wrong}, testutil.Digest(blob), errdefs.ErrCorrupt},
		{"no digest", IngestOptions{Expect: "sha256:12"}, "", errdefs.ErrInvalid},
		{"other algorithm", IngestOptions{Expect: digest.Digest("sha512:" + strings.Repeat("ab", 64))}, "", errdefs.ErrUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			noLeak(t)
			_, err := Ingest(t.Context(), bytes.NewReader(blob), tt.opts, nil)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("error = %v, want %v", err, tt.kind)
			}
			if tt.right != "" && (!strings.Contains(err.Error(), tt.right.String()) || !strings.Contains(err.Error(), wrong.String())) {
				t.Errorf("error %q does not name both digests", err)
			}
		})
	}
}

// Whatever breaks, Ingest ends, with that error, and leaves nothing running.
func TestIngestErrors(t *testing.T) {
	broken := errors.New("it broke")
	diff := manyFiles(t, 300)
	drain := func(_ context.Context, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	for _, c := range []Compression{None, Gzip, Zstd} {
		blob := packedWith(t, c, diff)
		half := blob[:len(blob)/2]
		tests := []struct {
			name  string
			blob  io.Reader
			split io.Writer
			apply func(context.Context, io.Reader) error
			want  error
		}{
			{"reader at once", iotest.ErrReader(broken), nil, drain, broken},
			{"reader half way", io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)), nil, drain, broken},
			{"reader half way, not applied", io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)), nil, nil, broken},
			{"cut", bytes.NewReader(half), nil, drain, errdefs.ErrCorrupt},
			{"apply at once", bytes.NewReader(blob), nil, func(context.Context, io.Reader) error { return broken }, broken},
			{"apply later", bytes.NewReader(blob), nil, func(_ context.Context, r io.Reader) error {
				_, err := io.CopyN(io.Discard, r, 1<<20)
				return errors.Join(err, broken)
			}, broken},
			{"lines", bytes.NewReader(blob), failingWriter{broken}, drain, broken},
			{"lines, not applied", bytes.NewReader(blob), failingWriter{broken}, nil, broken},
		}
		for _, tt := range tests {
			t.Run(c.String()+" "+tt.name, func(t *testing.T) {
				noLeak(t)
				_, err := Ingest(t.Context(), tt.blob, IngestOptions{Split: tt.split}, tt.apply)
				if !errors.Is(err, tt.want) {
					t.Errorf("error = %v, want %v", err, tt.want)
				}
			})
		}
	}
}

// blockingReader gives some bytes and then nothing until it is closed.
type blockingReader struct {
	io.Reader
	closed chan struct{}
}

func (b *blockingReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		<-b.closed
		return n, io.ErrClosedPipe
	}
	return n, err
}

// A cancelled Ingest returns even while the blob's reader is stuck.
func TestIngestCancelled(t *testing.T) {
	diff := manyFiles(t, 300)
	for _, c := range []Compression{None, Gzip, Zstd} {
		for _, share := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%v after %d/4", c, share), func(t *testing.T) {
				noLeak(t)
				blob := packedWith(t, c, diff)
				b := &blockingReader{bytes.NewReader(blob[:share*len(blob)/4]), make(chan struct{})}
				defer close(b.closed)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := Ingest(ctx, b, IngestOptions{Split: io.Discard}, nil)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error = %v, want DeadlineExceeded", err)
				}
			})
		}
	}
}

// A failing apply ends an Ingest whose reader is stuck.
func TestIngestFailsWhileReaderBlocks(t *testing.T) {
	noLeak(t)
	broken := errors.New("disk full")
	b := &blockingReader{bytes.NewReader(packedWith(t, Gzip, manyFiles(t, 300))[:100000]), make(chan struct{})}
	defer close(b.closed)
	_, err := Ingest(t.Context(), b, IngestOptions{}, func(context.Context, io.Reader) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
}

func TestIngestBombs(t *testing.T) {
	zeros := make([]byte, 80<<20)
	t.Run("ratio", func(t *testing.T) {
		noLeak(t)
		_, err := Ingest(t.Context(), bytes.NewReader(packedWith(t, Zstd, zeros)), IngestOptions{Limits: Limits{MaxRatio: 100}}, nil)
		if !errors.Is(err, errdefs.ErrLimit) {
			t.Errorf("error = %v, want ErrLimit", err)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		noLeak(t)
		_, err := Ingest(t.Context(), bytes.NewReader(packedWith(t, Gzip, zeros)), IngestOptions{Limits: Limits{MaxBytes: 1 << 20}}, nil)
		if !errors.Is(err, errdefs.ErrLimit) {
			t.Errorf("error = %v, want ErrLimit", err)
		}
	})
	t.Run("small ones pass", func(t *testing.T) {
		_, err := Ingest(t.Context(), bytes.NewReader(packedWith(t, Zstd, zeros[:60<<20])), IngestOptions{Limits: Limits{MaxRatio: 100}}, nil)
		if err != nil {
			t.Error(err)
		}
	})
}

// Several gzip members make one layer, with the digest of all their bytes.
func TestIngestMembers(t *testing.T) {
	diff := manyFiles(t, 20)
	var blob bytes.Buffer
	for i := 0; i < len(diff); i += 70000 {
		w := gzip.NewWriter(&blob)
		if _, err := w.Write(diff[i:min(i+70000, len(diff))]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	in, err := Ingest(t.Context(), &blob, IngestOptions{Expect: testutil.Digest(diff)}, nil)
	if err != nil || in.Entries != 20 {
		t.Errorf("%+v, %v", in, err)
	}
}
