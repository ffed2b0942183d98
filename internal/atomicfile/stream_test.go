package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/internal/atomicfile"
)

func TestStream(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	begin := func(text string) *atomicfile.Stream {
		t.Helper()
		s, err := atomicfile.Create(path, 0o640)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(text string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if string(got) != text || len(entries) != 1 || err != nil {
			t.Errorf("there are %v with %q, %v; want %q", entries, got, err, text)
		}
	}
	first := begin("one")
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("before its end there are %v", entries)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	first.Abort()
	want("one")
	second := begin("two")
	if err := second.Commit(); err != nil {
		t.Fatal(err)
	}
	want("two")
	begin("three").Abort()
	want("two")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := atomicfile.Create(filepath.Join(dir, "no/file"), 0o600); !os.IsNotExist(err) {
		t.Errorf("without its directory: %v", err)
	}
	late := begin("four")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := late.Commit(); err == nil {
		t.Error("a name in a directory that is gone")
	}
}
