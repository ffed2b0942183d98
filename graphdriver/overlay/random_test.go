package overlay

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/drivertest"
	"github.com/stratastore/strata/graphdriver/vfs"
)

// TestRandom plays histories on vfs and overlay. They do not have to survive a power cut.
func TestRandom(t *testing.T) {
	noSync := graphdriver.Option{Key: "sync", Value: "none"}
	for _, mountopt := range []string{"", "metacopy=on", "redirect_dir=on,index=off"} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%q, seed %d", mountopt, seed), func(t *testing.T) {
				t.Parallel()
				dir := root(t)
				cfg := config(filepath.Join(dir, "vfs"), noSync)
				cfg.Home = filepath.Join(dir, "vfs", vfs.Name)
				reference, err := vfs.New(t.Context(), cfg)
				must(t, err)
				d := openAt(t, filepath.Join(dir, "overlay"), noSync, graphdriver.Option{Key: "mountopt", Value: mountopt})
				drivertest.Random(t, reference, d, seed, 150)
			})
		}
	}
}
