package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/stratastore/strata/errdefs"
)

var bucket = []byte("b")

// sample makes a database of several pages and returns its bytes.
func sample(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	f, err := Open(path, 0o600, bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		for i := range 500 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key %d", i), make([]byte, 50)))
		}
		return err
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// use opens a database, reads all of it, and writes.
func use(path string, opts bbolt.Options) error {
	f, err := Open(path, 0o600, opts)
	if err != nil {
		return err
	}
	err = f.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucket); b != nil {
			return b.ForEach(func(_, value []byte) error { _ = string(value); return nil })
		}
		return nil
	})
	if !opts.ReadOnly {
		err = errors.Join(err, f.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			return b.Put([]byte("more"), []byte("text"))
		}))
	}
	return errors.Join(err, f.Close())
}

// TestDamage: whatever is wrong with a database, using it is an ErrCorrupt or works, and its
// lock is free afterwards.
func TestDamage(t *testing.T) {
	good := sample(t)
	page := os.Getpagesize()
	damaged := map[string][]byte{
		"small": good[:page+page/2], "headers only": good[:2*page], "cut in half": good[:len(good)/2], "last page lost": good[:len(good)-page],
	}
	for i := range len(good) / page {
		for _, fill := range []byte{0, 0xff, 0x55} {
			data := append([]byte(nil), good...)
			for j := range page {
				data[i*page+j] = fill
			}
			damaged[fmt.Sprintf("page %d is %#x", i, fill)] = data
		}
	}
	corrupt := 0
	for name, data := range damaged {
		for _, readOnly := range []bool{true, false} {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			err := use(path, bbolt.Options{ReadOnly: readOnly, NoSync: true, Timeout: time.Second})
			if err != nil && !errors.Is(err, errdefs.ErrCorrupt) {
				t.Errorf("%s, read only %t: %v", name, readOnly, err)
			}
			if err != nil {
				corrupt++
			}
			if err := use(path, bbolt.Options{ReadOnly: readOnly, NoSync: true, Timeout: time.Second}); errors.Is(err, berrors.ErrTimeout) {
				t.Errorf("%s, read only %t: the lock is kept", name, readOnly)
			}
		}
	}
	if corrupt < 10 {
		t.Errorf("of %d damaged databases %d are found to be", len(damaged), corrupt)
	}
}

// TestOtherErrors: what has nothing to do with the content is not called damage.
func TestOtherErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	f, err := Open(path, 0o600, bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := use(path, bbolt.Options{Timeout: 10 * time.Millisecond}); !errors.Is(err, berrors.ErrTimeout) || errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("locked: %v", err)
	}
	own := errors.New("own")
	if err := f.View(func(*bbolt.Tx) error { return own }); !errors.Is(err, own) || errors.Is(err, errdefs.ErrCorrupt) {
		t.Errorf("error of the function: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(path), filepath.Join(path, "below"), filepath.Join(filepath.Dir(path), "none", "db")} {
		if err := use(path, bbolt.Options{}); err == nil || errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
