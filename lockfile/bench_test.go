package lockfile_test

import (
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/lockfile"
)

func BenchmarkShared(b *testing.B) {
	l := lockfile.New(filepath.Join(b.TempDir(), "l"), lockfile.Options{})
	for b.Loop() {
		held, err := l.Shared(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := held.Unlock(); err != nil {
			b.Fatal(err)
		}
	}
}
