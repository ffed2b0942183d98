package strata

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/errdefs"
)

// roots are the directories of a store, absolute and clean. Links in them are not
// resolved: mount counts and directories handed to engines keep the spelling.
type roots struct {
	graph, run string
	image      string   // "" without a separate image store
	additional []string // in order of lookup
}

func newRoots(opts Options) (roots, error) {
	if opts.GraphRoot == "" || opts.RunRoot == "" {
		return roots{}, fmt.Errorf("no storage runroot or graphroot specified: %w", ErrIncompleteOptions)
	}
	var r roots
	for _, p := range []struct {
		to   *string
		from string
	}{{&r.graph, opts.GraphRoot}, {&r.run, opts.RunRoot}, {&r.image, opts.ImageStore}} {
		if p.from == "" {
			continue
		}
		abs, err := filepath.Abs(p.from)
		if err != nil {
			return roots{}, fmt.Errorf("make %s absolute: %w", p.from, err)
		}
		*p.to = abs
	}
	if r.image != "" && sameFile(r.image, r.graph) {
		// The other engines hang on such a store: they take the same lock twice.
		return roots{}, errdefs.WithHint(fmt.Errorf("%w: image store %s is the graph root itself", errdefs.ErrInvalid, r.image),
			"leave the image store out, or name another directory")
	}
	return r, nil
}

// setAdditional takes the additional stores. The store itself can not be one of them: it
// would wait for its own locks for ever.
func (r *roots) setAdditional(dirs []string) error {
	for _, dir := range dirs {
		for _, own := range []struct{ what, dir string }{{"graph root", r.graph}, {"image store", r.image}} {
			if own.dir != "" && sameFile(dir, own.dir) {
				return errdefs.WithHint(fmt.Errorf("%w: additional image store %s is the %s itself", errdefs.ErrInvalid, dir, own.what),
					"leave it out of additionalimagestores: the store is searched first in any case")
			}
		}
	}
	r.additional = dirs
	return nil
}

// sameFile compares paths with their links resolved as far as they exist, and what is
// there, which may be mounted in both places.
func sameFile(a, b string) bool {
	if resolved(a) == resolved(b) {
		return true
	}
	there, err := os.Stat(a)
	if err != nil {
		return false
	}
	here, err := os.Stat(b)
	return err == nil && os.SameFile(there, here)
}

func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	return path
}

// The names below a root (on-disk format, 1.1-1.3); driver is the driver's name.
func layersDir(root, driver string) string     { return filepath.Join(root, driver+"-layers") }
func imagesDir(root, driver string) string     { return filepath.Join(root, driver+"-images") }
func containersDir(root, driver string) string { return filepath.Join(root, driver+"-containers") }

// each applies one of the functions above to several roots.
func each(roots []string, driver string, dir func(root, driver string) string) []string {
	out := make([]string, len(roots))
	for i, root := range roots {
		out[i] = dir(root, driver)
	}
	return out
}

// backupDir is strata's own place for the last good record files.
func (r roots) backupDir() string { return filepath.Join(r.graph, "strata", "backup") }

// reserveDir is strata's own place for what is held back for deletions.
func (r roots) reserveDir() string { return filepath.Join(r.graph, "strata", "reserve") }

// leaseDir is where live processes note which layers they use.
func (r roots) leaseDir() string { return filepath.Join(r.graph, "strata", "leases") }

// storageLock is the file that guards driver set-up and mounting.
func (r roots) storageLock() string { return filepath.Join(r.graph, "storage.lock") }

// usernsLock is the file that guards the choice of free ID ranges.
func (r roots) usernsLock() string { return filepath.Join(r.graph, "userns.lock") }

// writableImageDirs are the image directories in order of lookup: the separate
// image store's first, then the graph root's own (on-disk format, 1.4).
func (r roots) writableImageDirs(driver string) []string {
	if r.image == "" {
		return []string{imagesDir(r.graph, driver)}
	}
	return []string{imagesDir(r.image, driver), imagesDir(r.graph, driver)}
}
