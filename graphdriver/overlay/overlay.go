// Package overlay is the driver that keeps each layer's own changes in a directory and lets
// the kernel's overlay file system merge them.
//
// On disk it is the overlay driver of Podman, Buildah, Skopeo and CRI-O (on-disk format,
// 1.1 and 4), in the same directories at the same time:
//
//	<home>/<id>/diff      what the layer adds, with whiteouts for what it removes
//	<home>/<id>/link      its short name, 26 characters
//	<home>/<id>/lower     the short names of its ancestors, nearest first; fixed for ever
//	<home>/<id>/work      overlayfs' own; merged: the mount point; empty: of base layers
//	<home>/l/<short>      symbolic link to ../<id>/diff
//	<home>/tempdirs/      layers on their way in or out (package internal/tempdir)
//
// A layer is filled in tempdirs, with no lock held, and becomes a layer by one rename. Layers
// are looked for in the graph root, then in the separate image store, then in the
// read-only stores; only those of the graph root are ever mounted writable.
//
// # Damage
//
// Other engines write link and lower without flushing them, so a power cut leaves them empty
// or cut, and a cut list of ancestors would silently show a tree without some of its
// layers. Every use of a list therefore holds it against the lists of the nearest and
// the furthest ancestor, and an *DamageError stops what can not be trusted. Lost symbolic
// links and short names mend themselves; lists are mended by Heal, which is told the
// ancestors by the store's records.
//
// # Mounts
//
// A mount is first a value (see describe), then package mountapi's business. Diffs never need
// the mount point: they are computed from the directories, and where only the kernel can
// tell (metacopy, redirects, any two layers), from mounts that are attached nowhere.
package overlay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
	"github.com/stratastore/strata/internal/mountapi"
)

// Name is what the driver is registered as.
const Name = "overlay"

// The powers of this driver.
var (
	_ graphdriver.Driver     = (*driver)(nil)
	_ graphdriver.Stager     = (*driver)(nil)
	_ graphdriver.Trasher    = (*driver)(nil)
	_ graphdriver.Lister     = (*driver)(nil)
	_ graphdriver.DiffGetter = (*driver)(nil)
	_ graphdriver.MountState = (*driver)(nil)
	_ graphdriver.Shifter    = (*driver)(nil)
	_ graphdriver.Healer     = (*driver)(nil)
	_ graphdriver.Capable    = (*driver)(nil)
)

// driver is safe for concurrent use; what is not a lock or a memory of its own is fixed once
// opened.
type driver struct {
	settings settings
	rootless bool
	noIDMap  bool
	log      *slog.Logger
	// homes in lookup order: the primary one, the image store's, read-only ones.
	homes   homes.Homes[home]
	runHome string
	backing mountapi.FSType
	// program mounts instead of the kernel; "" for none. wantsProgram: the layers were
	// made for one.
	program      string
	wantsProgram bool

	features *features
	mounter  *mountapi.Mounter
	locks    graphdriver.IDLocks
	syncs    syncs
	counts   mountCounts
}

// New opens the driver: it is a graphdriver.Init. It makes the directories of the homes, the
// private bind mount of the primary one, and removes what killed processes left in
// tempdirs. What it learns about the kernel is kept in the run root, where the next process
// finds it.
//
// File systems that can not carry an overlay are graphdriver.ErrIncompatibleFS, a kernel that
// does not mount it is graphdriver.ErrNotSupported. Options: see settings.
func New(ctx context.Context, cfg graphdriver.Config) (graphdriver.Driver, error) {
	return open(ctx, cfg, mountapi.Auto)
}

// open is New with the choice of how to mount.
func open(ctx context.Context, cfg graphdriver.Config, api mountapi.API) (*driver, error) {
	s, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	d := &driver{
		settings: s, rootless: cfg.Rootless, noIDMap: cfg.DisableIDMap, log: cfg.Log(),
		homes: homesOf(cfg, s), runHome: cfg.RunHome, mounter: &mountapi.Mounter{API: api},
	}
	d.features = &features{driver: d, cache: probeCache{cfg.RunHome, d.log}}
	for _, o := range s.ignored {
		d.log.WarnContext(ctx, "option has no effect", "driver", Name, "option", o)
	}
	if err := d.makeHomes(); err != nil {
		return nil, err
	}
	if err := d.settle(ctx); err != nil {
		return nil, err
	}
	return d, d.homes.Recover(ctx, Name, d.log)
}

func (d *driver) makeHomes() error {
	for _, h := range d.homes {
		if h.ReadOnly() {
			continue
		}
		if err := os.MkdirAll(h.path, 0o700); err != nil {
			return fmt.Errorf("make driver home: %w", err)
		}
		if err := mkdir(h.linkDir(), 0o755); err != nil {
			return fmt.Errorf("make driver home: %w", err)
		}
	}
	if err := os.MkdirAll(d.runHome, 0o700); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	return nil
}

// settle finds out whether and how layers can be mounted here. Until that is certain it leaves
// nothing in the home but directories: a file would make it look like one that was in use.
func (d *driver) settle(ctx context.Context) (err error) {
	if d.backing, err = mountapi.FSTypeOf(d.homes[0].path); err != nil {
		return err
	}
	note, err := d.chooseProgram(ctx)
	if err != nil {
		return err
	}
	if err := d.checkBacking(); err != nil {
		return err
	}
	if d.program == "" {
		if err := d.features.overlay(); err != nil {
			return err
		}
	}
	if err := d.ensureHome(ctx); err != nil {
		return err
	}
	d.noteProgram(ctx, note)
	return nil
}

// checkBacking refuses file systems that can not be below or above an overlay.
func (d *driver) checkBacking() error {
	if d.settings.size+d.settings.inodes > 0 && d.backing != mountapi.XFS {
		return fmt.Errorf("size and inodes need XFS, and %s is on %s: %w", d.homes[0].path, d.backing, graphdriver.ErrIncompatibleFS)
	}
	if d.program != "" {
		return nil
	}
	switch d.backing {
	case mountapi.AUFS, mountapi.Overlayfs, mountapi.Ecryptfs:
		return fmt.Errorf("%s is on %s, which can not hold an overlay: %w", d.homes[0].path, d.backing, graphdriver.ErrIncompatibleFS)
	}
	if d.rootless && d.backing.Network() {
		return fmt.Errorf("%s is on %s, a network file system, which a user's overlay can not use without a mount_program: %w",
			d.homes[0].path, d.backing, graphdriver.ErrIncompatibleFS)
	}
	return nil
}

// Name returns "overlay".
func (d *driver) Name() string { return Name }

// Metadata returns the layer's directories: "UpperDir", "WorkDir", "MergedDir", and
// "LowerDir", the content of its ancestors, nearest first, with colons between.
func (d *driver) Metadata(ctx context.Context, id graphdriver.ID) (map[string]string, error) {
	l, err := d.find(id)
	if err != nil {
		return nil, err
	}
	meta := map[string]string{"UpperDir": l.diff(), "WorkDir": l.path("work"), "MergedDir": d.mountPoint(l)}
	below, err := d.ancestors(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("metadata of layer %s: %w", id, err)
	}
	var lowers []string
	for _, a := range below {
		lowers = append(lowers, a.diff())
	}
	if len(lowers) > 0 {
		meta["LowerDir"] = strings.Join(lowers, ":")
	}
	return meta, nil
}
