package archive_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/testutil"
)

// goSourceDir is a tree of some ten thousand files that every machine with these tests has.
func goSourceDir(b *testing.B) string {
	b.Helper()
	out, err := exec.Command(testutil.RequireProgram(b, "go"), "env", "GOROOT").Output()
	if err != nil {
		b.Skip("go env GOROOT:", err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "src")
	if _, err := os.Stat(dir); err != nil {
		b.Skip(err)
	}
	return dir
}

// measure sets the bytes of content in dir as the amount of work.
func measure(b *testing.B, dir string) {
	b.Helper()
	size, err := archive.TreeSize(context.Background(), dir)
	check(b, err)
	b.SetBytes(size)
	b.ReportAllocs()
}

func BenchmarkPack(b *testing.B) {
	dir := goSourceDir(b)
	measure(b, dir)
	for b.Loop() {
		check(b, archive.Pack(context.Background(), io.Discard, dir, archive.PackOptions{}))
	}
}

// BenchmarkPackGNUTar is the same work by GNU tar; the pipe keeps it from
// leaving out the reading, which it does when it sees that it writes to /dev/null.
func BenchmarkPackGNUTar(b *testing.B) {
	dir := goSourceDir(b)
	measure(b, dir)
	for b.Loop() {
		check(b, exec.Command("sh", "-c", "tar --sort=name --xattrs -C "+dir+" -cf - . | cat >/dev/null").Run())
	}
}

func BenchmarkCompare(b *testing.B) {
	dir := goSourceDir(b)
	other := tempDir(b)
	copyTree(b, dir, other)
	for name, trust := range map[string]bool{"contents": false, "times": true} {
		b.Run(name, func(b *testing.B) {
			measure(b, dir)
			for b.Loop() {
				changes, err := archive.Compare(context.Background(), other, dir, archive.CompareOptions{TrustWholeSeconds: trust})
				check(b, err)
				if len(changes) > 0 {
					b.Fatal(changes[0])
				}
			}
		})
	}
}

func BenchmarkOverlayChanges(b *testing.B) {
	dir := goSourceDir(b)
	other := tempDir(b)
	copyTree(b, dir, other)
	measure(b, dir)
	for b.Loop() {
		opts := archive.CompareOptions{TrustWholeSeconds: true}
		_, err := archive.OverlayChanges(context.Background(), other, []string{dir}, archive.WhiteoutTrusted, opts)
		check(b, err)
	}
}

func BenchmarkAssemble(b *testing.B) {
	dir := goSourceDir(b)
	tarball, _ := pack(b, dir, archive.PackOptions{})
	lines, _ := split(b, tarball)
	files, err := archive.OpenFiles(dir)
	check(b, err)
	defer files.Close()
	measure(b, dir)
	for b.Loop() {
		check(b, archive.Assemble(context.Background(), io.Discard, bytes.NewReader(lines), files))
	}
}
