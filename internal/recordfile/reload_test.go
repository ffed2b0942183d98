package recordfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stratastore/strata/lockfile"
)

func TestReloadByToken(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	mine, other := x.open(), x.open()
	before := view(t, mine)
	check(t, before.Close())
	tx := begin(t, other)
	check(t, tx.Insert(0, layerRecord{ID: "b"}))
	check(t, tx.Commit(t.Context()))
	if got := seen(t, mine); got != "a b" {
		t.Errorf("IDs %s", got)
	}
}

// What was read is read once, and shared.
func TestNoReloadWithoutChange(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	s := x.open()
	first, second := view(t, s), view(t, s)
	if first.Version() != second.Version() || first.view.base != second.view.base {
		t.Error("two snapshots of one state")
	}
	check(t, first.Close())
	check(t, second.Close())
	tx := begin(t, s)
	check(t, tx.Insert(0, layerRecord{ID: "b"}))
	check(t, tx.Save(t.Context()))
	saved := tx.view.base
	check(t, tx.Close())
	if got := view(t, s); got.view.base != saved {
		t.Error("the own changes were read again")
	}
}

// Others change the file without the token: by another engine's order of things,
// or by hand.
func TestReloadWithoutToken(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, x *fixture)
		want   string
	}{
		{"replaced, equal time and size", func(t *testing.T, x *fixture) {
			info, err := os.Stat(x.files[0].Path)
			check(t, err)
			temp := filepath.Join(x.dir, "new")
			check(t, os.WriteFile(temp, []byte(list(rec("b"))), 0o600))
			check(t, os.Chtimes(temp, time.Time{}, info.ModTime()))
			check(t, os.Rename(temp, x.files[0].Path))
		}, "b"},
		{"written in place", func(t *testing.T, x *fixture) {
			x.write(t, 0, list(rec("b")))
			check(t, os.Chtimes(x.files[0].Path, time.Time{}, time.Unix(1, 0)))
		}, "b"},
		{"removed", func(t *testing.T, x *fixture) { check(t, os.Remove(x.files[0].Path)) }, ""},
		{"second file appears", func(t *testing.T, x *fixture) { x.write(t, 1, list(rec("c"))) }, "a c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := newFixture(t, list(rec("a")), "-")
			s := x.open()
			check(t, view(t, s).Close())
			tt.change(t, x)
			if got := seen(t, s); got != tt.want {
				t.Errorf("IDs %q, want %q", got, tt.want)
			}
		})
	}
}

// With several locks the first one's token decides, and all are written.
func TestSeveralLocks(t *testing.T) {
	x := newFixture(t, list(rec("a")), list(rec("b")))
	paths := []string{filepath.Join(x.dir, "1.lock"), filepath.Join(x.dir, "2.lock")}
	var locks []*lockfile.Lock
	for _, p := range paths {
		locks = append(locks, lockfile.New(p, lockfile.Options{}))
	}
	s := Open(x.schema, x.files, locks, Options{})
	tx := begin(t, s)
	check(t, tx.Delete("b"))
	check(t, tx.Save(t.Context()))
	for i, p := range paths {
		info, err := os.Stat(p)
		check(t, err)
		if info.Size() != lockfile.TokenSize {
			t.Errorf("%s has %d bytes", p, info.Size())
		}
		if _, err := lockfile.New(p, lockfile.Options{}).TryExclusive(); err == nil {
			t.Errorf("lock %d is free", i)
		}
	}
	check(t, tx.Close())
	for _, l := range locks {
		h, err := l.TryExclusive()
		check(t, err)
		check(t, h.Unlock())
	}
}

// A lock that can not be had gives the others back.
func TestSecondLockFails(t *testing.T) {
	x := newFixture(t, list(rec("a")))
	first := lockfile.New(filepath.Join(x.dir, "1.lock"), lockfile.Options{})
	second := lockfile.New(filepath.Join(x.dir, "none", "2.lock"), lockfile.Options{})
	s := Open(x.schema, x.files, []*lockfile.Lock{first, second}, Options{})
	if _, err := s.View(t.Context()); err == nil {
		t.Fatal("View without its second lock")
	}
	h, err := first.TryExclusive()
	check(t, err)
	check(t, h.Unlock())
}

// Readers and writers of one Store and of another at once: nothing is lost, and
// every reader sees whole records. Meant for the race detector.
func TestConcurrent(t *testing.T) {
	const writers, rounds = 4, 10
	x := newFixture(t, "-")
	stores := []*Store[layerRecord]{x.open(), x.open()}
	var group sync.WaitGroup
	for w := range writers {
		s := stores[w%2]
		group.Go(func() {
			for r := range rounds {
				if err := insertOne(t.Context(), s, layerID(w*rounds+r)); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range rounds {
				if err := countAll(t.Context(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := count(t, x.open()); n != writers*rounds {
		t.Errorf("%d records, want %d", n, writers*rounds)
	}
}

func insertOne(ctx context.Context, s *Store[layerRecord], id string) error {
	tx, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Close()
	if err := tx.Insert(0, layerRecord{ID: id, Parent: "p"}); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func countAll(ctx context.Context, s *Store[layerRecord]) error {
	tx, err := s.View(ctx)
	if err != nil {
		return err
	}
	defer tx.Close()
	if n := len(tx.By("parent", "p")); n != tx.Len() {
		return fmt.Errorf("%d of %d records in the index", n, tx.Len())
	}
	return nil
}
