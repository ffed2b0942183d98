package strata

import (
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/internal/atomicfile"
)

// scanOwn looks for interrupted writes of mount counts, and in strata's own place.
func (o *orphanScan) scanOwn() error {
	run := layersDir(o.store.roots.run, o.store.driver.name)
	entries, err := list(run)
	if err != nil {
		return err
	}
	for _, e := range entries {
		o.commonEntry(filepath.Join(run, e.Name()), KindLayer, e)
	}
	// The cache of sizes is written under no lock.
	own := filepath.Dir(o.store.usageFile())
	if entries, err = list(own); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && tempFile.MatchString(e.Name()) {
			o.old(orphanFile, KindLayer, filepath.Join(own, e.Name()), "temporary file of an interrupted write")
		}
	}
	return o.scanBackups(o.store.roots.backupDir())
}

// scanBackups looks at the copies of this driver's record files, whose locks are held.
// Those of others may be in the making.
func (o *orphanScan) scanBackups(dir string) error {
	entries, err := list(dir)
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), atomicfile.TempPrefix+o.store.driver.name+"-")
		if ours && e.Type().IsRegular() && tempFile.MatchString(e.Name()) {
			o.add(orphanFile, KindLayer, "", filepath.Join(dir, e.Name()), "temporary file of an interrupted backup")
		}
	}
	return err
}
