package ontop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/internal/testutil"
)

// BenchmarkMountUnmount is what an engine waits for at the start and end of a container.
func BenchmarkMountUnmount(b *testing.B) {
	testutil.RequireRoot(b)
	base := b.TempDir()
	d, err := New(b.Context(), Options{Root: filepath.Join(b.TempDir(), "state")})
	must(b, err)
	_, err = d.Create(b.Context(), "v", map[string]string{"base": base, "volatile": "yes"})
	must(b, err, os.WriteFile(d.place("v").path(upperDir)+"/file", nil, 0o600))
	for b.Loop() {
		_, err := d.Mount(b.Context(), "v", "A")
		must(b, err, d.Unmount(b.Context(), "v", "A"))
	}
	must(b, d.Close())
}
