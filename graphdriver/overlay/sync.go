package overlay

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

func (d *driver) durable() bool { return d.settings.sync != graphdriver.SyncNone }

// syncNew flushes a new layer without content: its notes, itself, and the two directories
// that name it. The first flush makes the file system commit all of it, so the others
// find little left to do.
func (d *driver) syncNew(l layerDir, hasLower bool) error {
	if !d.durable() {
		return nil
	}
	notes := []string{"link"}
	if hasLower {
		notes = append(notes, "lower")
	}
	for _, name := range notes {
		if err := syncFile(l.path(name)); err != nil {
			return err
		}
	}
	return d.syncDirs(l.dir(), l.home.linkDir(), l.home.path)
}

// syncDirs makes what was created, renamed or removed in the directories durable.
func (d *driver) syncDirs(dirs ...string) error {
	if !d.durable() {
		return nil
	}
	for _, dir := range dirs {
		if err := atomicfile.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if err := errors.Join(unix.Fdatasync(int(f.Fd())), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// syncFilesystem flushes everything on the file system of h: one call is cheaper than one for
// each file of a layer.
func (d *driver) syncFilesystem(h home) error {
	if !d.durable() {
		return nil
	}
	return d.syncs.do(h, func() error {
		if err := faults.Hit("overlay.sync", h.path); err != nil {
			return fmt.Errorf("sync file system of %s: %w", h.path, err)
		}
		return atomicfile.SyncFilesystem(h.path)
	})
}
