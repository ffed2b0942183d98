package archive

import (
	"archive/tar"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// A tar of an upper directory has whiteouts as overlayfs has them, with several
// names sometimes. They delete with every driver, and never what the tar brings.
func TestExtractDeviceWhiteouts(t *testing.T) {
	testutil.RequireRoot(t)
	before := []testutil.Entry{{Name: "a", Body: "old"}, {Name: "d/b", Body: "old"}, {Name: "d/c/e", Body: "old"}, {Name: "kept", Body: "old"}}
	upper := []testutil.Entry{
		{Name: "a", Type: tar.TypeChar},
		{Name: "d/b", Type: tar.TypeLink, Link: "a"},
		{Name: "d/c", Type: tar.TypeLink, Link: "d/b"},
		{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3},
	}
	tests := []struct {
		name   string
		format WhiteoutFormat
		want   string
	}{
		{"removed", WhiteoutNone, "d/ kept null%"},
		{"as whiteouts", WhiteoutTrusted, "a% d/ d/b% d/c% kept null%"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			mustExtract(t, dir, ExtractOptions{}, before...)
			mustExtract(t, dir, ExtractOptions{Whiteouts: tt.format}, upper...)
			if got := short(t, dir); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.format == WhiteoutNone {
				return
			}
			for _, name := range []string{"a", "d/b", "d/c"} {
				var st unix.Stat_t
				if err := unix.Lstat(filepath.Join(dir, name), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
					t.Errorf("%s: mode %o, device %d, %v", name, st.Mode, st.Rdev, err)
				}
			}
		})
	}
}
