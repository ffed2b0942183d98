package strata_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// TestFaultWalkDedup is the walk of what needs a file system where files can share data.
func TestFaultWalkDedup(t *testing.T) {
	testutil.RequireRoot(t)
	disk := reflinkDisk(t)
	for _, driver := range storetest.Drivers() {
		t.Run(driver, func(t *testing.T) {
			base := newScene(t, driver)
			base.place = disk
			newWalk(t, base, walkOp{name: "dedup", prepare: func(t *testing.T, s *storetest.Store) {
				t.Helper()
				importLayer(t, s, newID, "", entry("same", "base"), entry("another", "top"), entry("own", "other"))
			}, run: func(ctx context.Context, s *strata.Store) error {
				return errOf(s.Dedup(ctx, strata.DedupOptions{Workers: 1}))
			}}).all()
		})
	}
}

// reflinkDisk mounts an xfs of its own for the test.
func reflinkDisk(t *testing.T) (dir string) {
	t.Helper()
	testutil.RequireProgram(t, "mkfs.xfs")
	image := filepath.Join(t.TempDir(), "disk")
	dir = filepath.Join(t.TempDir(), "root")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 400<<20))
	must(t, os.Mkdir(dir, 0o755))
	for _, words := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", words, err, out)
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}
