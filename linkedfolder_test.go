package strata_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/storetest"
	"github.com/stratastore/strata/internal/testutil"
)

// TestFolderIsALink: where a link stands in the place of one of the store's folders, what else lies
// behind it is nobody's to collect, whatever is asked for.
func TestFolderIsALink(t *testing.T) {
	for _, name := range storetest.Drivers() {
		folders := []string{name, name + "-layers", name + "-images", name + "-containers", "strata", "strata/unfinished", "strata/leases", "strata/mounts", "strata/backup", "strata/trash", "strata/reserve", name + "/tempdirs", name + "-layers/tmp"}
		if name == "vfs" {
			folders = append(folders, "vfs/dir")
		} else {
			folders = append(folders, "overlay/l", "overlay/staging")
		}
		for _, folder := range folders {
			t.Run(folder+" of "+name, func(t *testing.T) {
				ctx := t.Context()
				elsewhere := t.TempDir()
				s := storetest.New(t, name)
				s.Tolerate()
				s.Damaged()
				importLayer(t, s, "one", "", testutil.Entry{Name: "f", Body: "one"})
				createImage(t, s, "img1", "one", "app:1")
				createContainer(t, s, "con1", "img1", "web")
				must(t, errOf(s.Shutdown(ctx, strata.ShutdownOptions{Force: true})))
				foreign := map[string]string{"apt/sources": "a", "ssl/certs/ca": "b", "passwd": "c", "lock": "d", "tmp/file": "e", "dir/apt/file": "f"}
				for file, body := range foreign {
					must(t, os.MkdirAll(filepath.Dir(filepath.Join(elsewhere, file)), 0o755))
					must(t, os.WriteFile(filepath.Join(elsewhere, file), []byte(body), 0o644))
				}
				must(t, os.Symlink("passwd", filepath.Join(elsewhere, "mtab")))
				path := filepath.Join(s.GraphRoot(), folder)
				must(t, os.RemoveAll(path))
				must(t, os.Symlink(elsewhere, path))
				again := s.Again(t)
				again.Tolerate()
				again.Damaged()
				for range 2 {
					report, err := again.Store.Check(ctx, strata.CheckOptions{})
					if err == nil {
						_, err = again.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: true, Discard: true})
					}
					must(t, err)
					must(t, errOf(again.GC(ctx, strata.GCOptions{})))
				}
				foreign["mtab"] = foreign["passwd"]
				for file, body := range foreign {
					got, err := os.ReadFile(filepath.Join(elsewhere, file))
					if err != nil || string(got) != body {
						t.Errorf("%s: %q, %v", file, got, err)
					}
				}
			})
		}
	}
}
