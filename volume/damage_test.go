package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratastore/strata/errdefs"
)

// TestDamagedMetadata: a database that lost its end, or a page, is an error with a way out and
// no crash, and its lock is free afterwards.
func TestDamagedMetadata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	s := open(t, path, newFake("local", "v"))
	_, err := s.Create(t.Context(), "v", CreateOptions{Driver: "local", Labels: map[string]string{"k": "v"}})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for name, damage := range map[string]func(data []byte) []byte{
		"cut behind the headers": func(data []byte) []byte { return data[:2*page] },
		"cut in a page":          func(data []byte) []byte { return data[:page+1] },
		"pages overwritten": func(data []byte) []byte {
			return append(data[:2*page:2*page], []byte(strings.Repeat("\xff", len(data)-2*page))...)
		},
	} {
		if err := os.WriteFile(path, damage(append([]byte(nil), good...)), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := Open(t.Context(), Options{Path: path, LockTimeout: 100 * time.Millisecond})
			var hint interface{ Hint() string }
			if !errors.Is(err, errdefs.ErrCorrupt) || !strings.Contains(err.Error(), path) || !errors.As(err, &hint) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
