package powertest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// What a cut may leave of writes and flushes that are known one by one.
func TestCuts(t *testing.T) {
	rec := newRecorder(4 * page)
	block := func(c byte) []byte { return bytes.Repeat([]byte{c}, page) }
	rec.write(block('a'), 0)
	rec.flush()
	rec.write(block('b'), 0)
	rec.write(block('c'), page)
	tests := []struct {
		name        string
		cut         cut
		first, next string // the bytes that the two pages may have
	}{
		{"before the flush", cut{at: 1, mode: loseAll}, "\x00", "\x00"},
		{"at the flush", cut{at: 2, mode: loseAll}, "a", "\x00"},
		{"nothing unflushed", cut{at: 4, mode: loseAll}, "a", "\x00"},
		{"everything", cut{at: 4, mode: keepAll}, "b", "c"},
		{"some", cut{at: 4, mode: keepSome, seed: 3}, "ab", "\x00c"},
		{"torn", cut{at: 4, mode: tearSome, seed: 5}, "ab", "\x00c"},
	}
	m := newImager(rec)
	for i, tt := range tests {
		path := filepath.Join(t.TempDir(), "image")
		if err := m.make(tt.cut, path); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || int64(len(data)) != rec.size {
			t.Fatalf("%s: %d bytes, %v", tt.name, len(data), err)
		}
		if rest := bytes.Trim(data[:page], tt.first); len(rest) != 0 {
			t.Errorf("%d %s: first page has %q", i, tt.name, rest[:1])
		}
		if rest := bytes.Trim(data[page:2*page], tt.next); len(rest) != 0 {
			t.Errorf("%d %s: second page has %q", i, tt.name, rest[:1])
		}
	}
}

// Over many seeds every outcome has to occur: each write lost, there, and torn.
func TestCutsDiffer(t *testing.T) {
	const base = 32 * page
	rec := newRecorder(base + 4*page)
	rec.flush()
	rec.write(bytes.Repeat([]byte{'b'}, 2*page), base)
	rec.write(bytes.Repeat([]byte{'c'}, 2*page), base+2*page)
	seen := map[string]bool{}
	for seed := range uint64(60) {
		for _, mode := range []cutMode{keepSome, tearSome} {
			path := filepath.Join(t.TempDir(), "image")
			if err := newImager(rec).make(cut{at: 3, mode: mode, seed: seed}, path); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			seen[state(data[base:base+2*page])+state(data[base+2*page:])] = true
		}
	}
	for _, want := range []string{"oldold", "oldnew", "newold", "newnew", "tornold", "oldtorn"} {
		if !seen[want] {
			t.Errorf("no cut left %s pages", want)
		}
	}
}

// state of a page that was zero and became something else.
func state(data []byte) string {
	switch zeroes := bytes.Count(data, []byte{0}); zeroes {
	case 0:
		return "new"
	case len(data):
		return "old"
	}
	return "torn"
}

// A file that was written and not synced is lost by a cut, and one that was synced,
// with its directory, is not: the recorder sees what the file systems do.
func TestUnsyncedFilesAreLost(t *testing.T) {
	for _, fsys := range fileSystems() {
		t.Run(fsys.name, func(t *testing.T) {
			r := newRig(t, fsys)
			if err := r.do(func() error { return writeTwo(r.dir) }); err != nil {
				t.Fatal(err)
			}
			image := filepath.Join(r.tmp, "image")
			if err := newImager(r.rec).make(cut{at: r.rec.position(), mode: loseAll}, image); err != nil {
				t.Fatal(err)
			}
			other := newBench(t)
			dir := t.TempDir()
			err := other.do(func() error {
				dev, err := attachLoop(image)
				if err != nil {
					return err
				}
				defer dev.Close()
				return fsys.mount(dev.Name(), dir)
			})
			if err != nil {
				t.Fatal(err)
			}
			err = other.do(func() error {
				synced, err := os.ReadFile(filepath.Join(dir, "synced"))
				if err != nil || string(synced) != "promised" {
					t.Errorf("synced file: %q, %v", synced, err)
				}
				if data, err := os.ReadFile(filepath.Join(dir, "unsynced")); !errors.Is(err, fs.ErrNotExist) && len(data) > 0 {
					t.Errorf("unsynced file survived: %q, %v", data, err)
				}
				return testutil.Unmount(dir)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func writeTwo(dir string) error {
	f, err := os.Create(filepath.Join(dir, "synced"))
	if err != nil {
		return err
	}
	_, err = f.WriteString("promised")
	err = errors.Join(err, f.Sync(), f.Close())
	d, openErr := os.Open(dir)
	if openErr != nil {
		return openErr
	}
	err = errors.Join(err, d.Sync(), d.Close())
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "unsynced"), []byte("not promised"), 0o600))
}
