package ontop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// recover cleans up after earlier processes. Only a folder that can not be read, or a dead
// context, is an error.
func (d *Driver) recover(ctx context.Context) error {
	entries, err := os.ReadDir(d.opts.Root)
	if err != nil {
		return d.internal("list the state folder", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch name := e.Name(); {
		case strings.HasPrefix(name, trashPrefix):
			d.deleteLater(filepath.Join(d.opts.Root, name))
		case strings.HasPrefix(name, newPrefix):
			d.sweepNew(ctx, filepath.Join(d.opts.Root, name))
		case e.IsDir() && !hidden(name) && checkName(name) == nil:
			d.recoverOne(ctx, name)
		}
	}
	return nil
}

// sweepNew deletes a volume that was never completed, unless somebody is making it.
func (d *Driver) sweepNew(ctx context.Context, path string) {
	if !tree.Abandoned(path) {
		return
	}
	if d.opts.Images != nil {
		if err := d.opts.Images.Unmount(ctx, "", imageUser(filepath.Base(path))); err != nil {
			d.log.Warn("image of a volume that was never completed stays mounted", "error", err)
			return // the next start tries again
		}
	}
	d.deleteLater(path)
}

// recoverOne looks at one volume. Mounted and recorded: users are alive, all stays. Not
// mounted: records and folders are left over. Mounted without records: left to the next
// Mount, which can cope.
func (d *Driver) recoverOne(ctx context.Context, name string) {
	p := d.place(name)
	unlock, m, err := p.lock(ctx, true)
	if errors.Is(err, volume.ErrNoSuchVolume) {
		return
	}
	if err == nil {
		defer unlock()
		err = d.settle(ctx, p, m)
	}
	if err != nil {
		d.log.Warn("volume can not be recovered", "volume", name, "error", err)
		d.setBroken(name, err)
	}
}

// Settle leaves the user id with n mounts at most, after a process that died while it mounted
// or unmounted. With nobody else the volume is unmounted.
func (d *Driver) Settle(ctx context.Context, name, id string, n int) error {
	if err := checkID(id); err != nil {
		return err
	}
	p, m, unlock, err := d.hold(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	r, _, err := p.record(id)
	if err != nil {
		return d.internal("read the active mount", err)
	}
	if n > 0 {
		if r.Count > n {
			r.Count = n
			err = p.writeRecord(id, r)
		}
		return d.internal("record the unmount", err)
	}
	if err := p.eraseRecord(id); err != nil {
		return d.internal("volume is stuck in the active state", err)
	}
	users, err := p.records()
	if err != nil || len(users) > 0 {
		return d.internal("read records", err)
	}
	return d.deactivate(ctx, p, m)
}

func (d *Driver) settle(ctx context.Context, p place, m metadata) error {
	if err := p.eraseUnfinished(); err != nil {
		return err
	}
	mounted, err := mountapi.IsMountPoint(p.path(mountDir))
	if err != nil {
		return err
	}
	if mounted {
		d.log.Info("volume is still mounted", "volume", p.name)
		return nil
	}
	users, err := p.records()
	if err != nil {
		return err
	}
	if len(users) > 0 {
		d.log.Warn("records without a mount are dropped", "volume", p.name, "users", len(users))
		if err := p.eraseRecords(); err != nil {
			return err
		}
	}
	// The process may have died between mounting the image and mounting the overlay, or while
	// it replaced the upper directory.
	return errors.Join(d.releaseBase(ctx, p, m), d.cleanFolders(p), d.trash(p.path(freshDir)), d.trash(p.path(freshDir+".old")))
}
