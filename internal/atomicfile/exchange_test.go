package atomicfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
)

func TestExchange(t *testing.T) {
	dir := t.TempDir()
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(path, text string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s has %q, %v; want %q", path, got, err, text)
		}
	}
	write(a, "1")
	write(b, "2")
	if err := atomicfile.Exchange(a, b); err != nil {
		t.Fatal(err)
	}
	want(a, "2")
	want(b, "1")
	if err := atomicfile.Exchange(a, c); err != nil {
		t.Fatal(err)
	}
	want(c, "2")
	if err := atomicfile.Exchange(a, b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	want(b, "1")
}

func TestRenameNew(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	err := atomicfile.RenameNew(a, b)
	if !errors.Is(err, errdefs.ErrExists) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("onto a directory: %v", err)
	}
	if err := atomicfile.RenameNew(a, filepath.Join(dir, "c")); err != nil {
		t.Error(err)
	}
	if err := atomicfile.RenameNew(a, filepath.Join(dir, "d")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
