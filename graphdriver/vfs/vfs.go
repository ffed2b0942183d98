// Package vfs is the driver that keeps every layer as a plain, complete directory tree.
//
// It needs nothing from the kernel, works on every file system, and is the reference that
// the other drivers are compared with. The price is a copy of the parent's whole tree for
// each layer: almost free where the file system has reflinks (btrfs, XFS), and space and
// time everywhere else.
//
// On disk (on-disk format, 1.2 and 5):
//
//	<home>/dir/<id>      the layer, all its ancestors' files included
//	<home>/tempdirs/     layers on their way in or out (package internal/tempdir)
//
// A layer is copied, filled and synced in tempdirs, with no lock held, and becomes a
// layer by one rename; deleting it is the same backwards. So dir never holds half a
// layer, except one that was being written to in place (ApplyDiff on an existing layer).
//
// "Mounting" returns the directory; nothing is mounted and nothing is counted. There is
// no ID shifting and there are no mount options; labels are accepted and not used.
package vfs

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
)

// Name is what the driver is registered as.
const Name = "vfs"

// The powers of this driver.
var (
	_ graphdriver.Driver     = (*driver)(nil)
	_ graphdriver.Stager     = (*driver)(nil)
	_ graphdriver.Trasher    = (*driver)(nil)
	_ graphdriver.Lister     = (*driver)(nil)
	_ graphdriver.DiffGetter = (*driver)(nil)
	_ graphdriver.MountState = (*driver)(nil)
	_ graphdriver.Capable    = (*driver)(nil)
)

// driver is safe for concurrent use; everything but the locks is fixed once opened.
type driver struct {
	// Differ compares trees; ApplyDiff is the driver's own.
	graphdriver.Differ
	settings settings
	rootless bool
	log      *slog.Logger
	// homes in lookup order: the primary one, the image store's, read-only ones.
	homes homes.Homes[home]
	locks graphdriver.IDLocks
}

// New opens the driver: it is a graphdriver.Init. It makes the directories of the home and
// of the image store's, and removes what killed processes left in their tempdirs; what
// can not be removed is logged and stays for the next time.
func New(ctx context.Context, cfg graphdriver.Config) (graphdriver.Driver, error) {
	s, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	d := &driver{settings: s, rootless: cfg.Rootless, log: cfg.Log(), homes: homesOf(cfg)}
	d.Differ = graphdriver.NaiveDiff(d, graphdriver.NaiveOptions{
		IgnoreChownErrors: s.ignoreChownErrors, NoDevices: cfg.Rootless, ApplyRoot: true, Logger: cfg.Log(),
	})
	for _, h := range d.homes {
		if h.readOnly {
			continue
		}
		if err := os.MkdirAll(h.layers(), 0o700); err != nil {
			return nil, fmt.Errorf("make driver home: %w", err)
		}
	}
	if err := d.homes.Recover(ctx, Name, cfg.Log()); err != nil {
		return nil, err
	}
	return d, nil
}

// Name returns "vfs".
func (d *driver) Name() string { return Name }

// Capabilities says that every new layer is a copy, which may have other owners.
func (d *driver) Capabilities() graphdriver.Capabilities {
	return graphdriver.Capabilities{CopiesParent: true, Reowns: true}
}

// Status has nothing to tell.
func (d *driver) Status() []graphdriver.StatusItem { return nil }

// Cleanup has nothing to release.
func (d *driver) Cleanup(context.Context) error { return nil }

// Metadata returns the layer's directory as "Dir".
func (d *driver) Metadata(_ context.Context, id graphdriver.ID) (map[string]string, error) {
	h, err := d.homes.Find(id)
	if err != nil {
		return nil, err
	}
	return map[string]string{"Dir": h.Dir(id)}, nil
}
