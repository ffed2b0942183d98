package reserve

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

func TestFloor(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	read := func(f Floor) error {
		_, err := io.ReadAll(f.Reader(strings.NewReader(strings.Repeat("x", 3*unit))))
		return err
	}
	tests := []struct {
		name  string
		floor Floor
		full  bool
	}{
		{"none", Floor{Dir: dir}, false},
		{"low", Floor{dir, 64 << 10}, false},
		{"more than there is", Floor{dir, 2 << 20}, true},
		{"unknown file system", Floor{filepath.Join(dir, "none"), 1 << 60}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := read(tt.floor); Full(err) != tt.full {
				t.Errorf("error = %v", err)
			}
		})
	}
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1000<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read(Floor{dir, 64 << 10}); !Full(err) || !strings.Contains(err.Error(), "have to stay free") {
		t.Errorf("when it is reached: %v", err)
	}
	if r := (Floor{dir, 1}).Reader(nil); r != nil {
		t.Error("a reader out of nothing")
	}
}
