package ontop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
)

// cleanFolders removes the folders of a mount that is gone.
func (d *Driver) cleanFolders(p place) error {
	err := os.Remove(p.path(mountDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.internal("remove the mount point", err)
	}
	if d.mounter.UpperInUse(p.path(upperDir)) {
		return nil // an overlay that lives on in a container needs its work directory to write
	}
	return d.trash(p.path(workDir))
}

// Unmount takes back one Mount of the user id. The last one unmounts the overlay. An ID
// without a record touches nobody else's, and a volume that is not mounted is success.
func (d *Driver) Unmount(ctx context.Context, name, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	p, m, unlock, err := d.hold(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	r, known, err := p.record(id)
	if err != nil {
		return d.internal("read the active mount", err)
	}
	if !known {
		d.log.Warn("unmount without a mount", "volume", name, "id", id)
	}
	if r.Count > 1 {
		r.Count--
		return d.internal("record the unmount", p.writeRecord(id, r))
	}
	if err := errors.Join(faults.Hit("ontop.erase", p.dir), p.eraseRecord(id)); err != nil {
		return d.internal("volume is stuck in the active state", err)
	}
	users, err := p.records()
	if err != nil {
		return d.internal("read records", err)
	}
	if len(users) > 0 {
		return nil
	}
	return d.deactivate(ctx, p, m)
}

func (d *Driver) deactivate(ctx context.Context, p place, m metadata) error {
	if err := faults.Hit("ontop.unmount", p.dir); err != nil {
		return d.internal("unmount the overlay", err)
	}
	if err := mountapi.Unmount(p.path(mountDir)); err != nil {
		return d.internal("unmount the overlay", err)
	}
	if err := faults.Hit("ontop.unmounted", p.dir); err != nil {
		return d.internal("clean up after the unmount", err)
	}
	return errors.Join(d.releaseBase(ctx, p, m), d.cleanFolders(p))
}

// Remove deletes a volume with its changes. While it has users it is a volume.ErrInUse,
// unless they are of an earlier boot. A folder that never became a volume goes too.
func (d *Driver) Remove(ctx context.Context, name string) error {
	p, m, unlock, err := d.hold(ctx, name)
	switch {
	case errors.Is(err, volume.ErrNoSuchVolume):
		return d.removeIncomplete(p)
	case errors.Is(err, errdefs.ErrCorrupt):
		m, unlock = metadata{}, func() {} // its metadata is damaged: nobody can have mounted it since
	case err != nil:
		return err
	}
	defer unlock()
	if err := d.inUse(p); err != nil {
		return err
	}
	if err := d.free(ctx, p, m); err != nil {
		return err
	}
	d.setBroken(name, nil)
	if err := d.trash(p.dir); err != nil {
		return err
	}
	return d.sync() // a power cut could bring it back, without its labels
}

func (d *Driver) removeIncomplete(p place) error {
	if info, err := os.Lstat(p.dir); err != nil || !info.IsDir() {
		return volume.ErrNoSuchVolume
	}
	if _, err := os.Lstat(p.path(metadataFile)); err == nil {
		return volume.ErrNoSuchVolume // a new one, made a moment ago
	}
	return d.takeIncomplete(p.name)
}

// inUse reports live users as an ErrInUse. Records without a mount prove nothing: they are
// stale when they are of an earlier boot or nothing is mounted.
func (d *Driver) inUse(p place) error {
	users, err := p.records()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(users) == 0 {
		return nil
	}
	if err != nil {
		return d.internal("read records", err)
	}
	if !isOverlay(p.path(mountDir)) {
		return nil
	}
	return errdefs.WithHint(fmt.Errorf("%w: %d on record", volume.ErrInUse, len(users)),
		"end the containers that use it; users that ended while nothing served them are forgotten by `strata volume reset "+p.name+"`")
}

// free unmounts whatever is left at the mount point, lazily if it is busy, and proves
// that nothing is mounted below the volume.
func (d *Driver) free(ctx context.Context, p place, m metadata) error {
	point := p.path(mountDir)
	if err := mountapi.Unmount(point); errors.Is(err, unix.EBUSY) {
		d.log.Warn("busy overlay is detached", "volume", p.name)
		if err := mountapi.Detach(point); err != nil {
			return d.internal("unmount the overlay", err)
		}
	} else if err != nil {
		return d.internal("unmount the overlay", err)
	}
	if below, err := mountapi.AnyBelow(p.dir); err != nil || below {
		return d.internal("unmount the overlay", errors.Join(err, fmt.Errorf("%s: %w", filepath.Base(p.dir), unix.EBUSY)))
	}
	return d.releaseBase(ctx, p, m)
}

// Reset unmounts a volume and drops its records, whoever they are of. Its content stays.
func (d *Driver) Reset(ctx context.Context, name string) error {
	p, m, unlock, err := d.hold(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.eraseRecords(); err != nil {
		return d.internal("drop records", err)
	}
	if err := d.free(ctx, p, m); err != nil {
		return err
	}
	d.setBroken(name, nil)
	return d.cleanFolders(p)
}
