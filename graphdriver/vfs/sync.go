package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
)

// syncFilesystem flushes everything that was written to the file system of h: one call is
// cheaper than one per file, and covers the layers of other stages too.
func (d *driver) syncFilesystem(h home) error {
	return d.durable(h.path, func(f *os.File) error { return unix.Syncfs(int(f.Fd())) })
}

// syncDirs makes renames between the directories durable.
func (d *driver) syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		if err := d.durable(dir, (*os.File).Sync); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) durable(dir string, sync func(*os.File) error) error {
	if d.settings.sync == graphdriver.SyncNone {
		return nil
	}
	if err := faults.Hit("vfs.sync", dir); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := sync(f); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", dir, err), f.Close())
	}
	return f.Close()
}
