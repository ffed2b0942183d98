package vfs

import (
	"fmt"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// syncFilesystem flushes everything that was written to the file system of h, the layers of
// other stages too.
func (d *driver) syncFilesystem(h home) error { return d.durable(h.path, atomicfile.SyncFilesystem) }

// syncDirs makes renames between the directories durable.
func (d *driver) syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := d.durable(dir, atomicfile.SyncDir); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) durable(dir string, sync func(dir string) error) error {
	if d.settings.sync == graphdriver.SyncNone {
		return nil
	}
	if err := faults.Hit("vfs.sync", dir); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return sync(dir)
}
