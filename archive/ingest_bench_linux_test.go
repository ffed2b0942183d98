package archive_test

import (
	"bytes"
	"context"
	gobuild "go/build"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// sourceBlob is a tar of the Go installation's source tree: some 13,000 real files.
func sourceBlob(b *testing.B, c archive.Compression) []byte {
	b.Helper()
	root := gobuild.Default.GOROOT
	if _, err := os.Stat(filepath.Join(root, "src", "net")); err != nil {
		b.Skip("no Go source tree here")
	}
	tar := testutil.RequireProgram(b, "tar")
	plain, err := exec.Command(tar, "--sort=name", "-C", root, "-cf", "-", "src").Output()
	if err != nil {
		b.Fatal(err)
	}
	var packed bytes.Buffer
	w, err := archive.Compress(&packed, c)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return packed.Bytes()
}

// eachIntoFresh runs unpack into a new directory each time; removing does not count.
func eachIntoFresh(b *testing.B, bytes int64, unpack func(dir string)) {
	b.SetBytes(bytes)
	base := b.TempDir()
	for b.Loop() {
		b.StopTimer()
		dir, err := os.MkdirTemp(base, "") //nolint:usetesting // one for each round, removed in it
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		unpack(dir)
		b.StopTimer()
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkExtract(b *testing.B) {
	testutil.RequireRoot(b)
	plain := sourceBlob(b, archive.None)
	b.Run("strata", func(b *testing.B) {
		eachIntoFresh(b, int64(len(plain)), func(dir string) {
			if _, err := archive.Extract(context.Background(), dir, bytes.NewReader(plain), archive.ExtractOptions{}); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("tar", func(b *testing.B) {
		eachIntoFresh(b, int64(len(plain)), func(dir string) { runTarOn(b, plain, "-C", dir, "-x") })
	})
}

// BenchmarkIngest does everything that storing a layer needs: both digests, the
// packed tar-split file, and the tree.
func BenchmarkIngest(b *testing.B) {
	testutil.RequireRoot(b)
	for _, c := range []archive.Compression{archive.None, archive.Gzip, archive.Zstd} {
		b.Run(c.String(), func(b *testing.B) {
			blob := sourceBlob(b, c)
			b.Run("strata", func(b *testing.B) {
				eachIntoFresh(b, int64(len(blob)), func(dir string) { ingestInto(b, blob, dir) })
			})
			b.Run("tar", func(b *testing.B) {
				flags := map[archive.Compression]string{archive.None: "-x", archive.Gzip: "-xz", archive.Zstd: "-x"}
				args := []string{"-C", noDir, flags[c]}
				if c == archive.Zstd {
					args = append(args, "--zstd")
				}
				eachIntoFresh(b, int64(len(blob)), func(dir string) {
					args[1] = dir
					runTarOn(b, blob, args...)
				})
			})
		})
	}
}

const noDir = ""

func ingestInto(b *testing.B, blob []byte, dir string) {
	b.Helper()
	split, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	_, err = archive.Ingest(context.Background(), bytes.NewReader(blob), archive.IngestOptions{Split: split},
		func(ctx context.Context, diff io.Reader) error {
			_, err := archive.Extract(ctx, dir, diff, archive.ExtractOptions{Whiteouts: archive.WhiteoutTrusted})
			return err
		})
	if err != nil {
		b.Fatal(err)
	}
	if err := split.Close(); err != nil {
		b.Fatal(err)
	}
}

func runTarOn(b *testing.B, data []byte, args ...string) {
	b.Helper()
	cmd := exec.Command("tar", args...)
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("tar: %v\n%s", err, out)
	}
}
