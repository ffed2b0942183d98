package ontop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
)

// ErrNotMounted says that the volume has users on record, but nothing is mounted.
var ErrNotMounted = errdefs.New(errdefs.ErrCorrupt, "volume has users but is not mounted")

// Mount makes the volume available to the user id and returns where. The first user mounts
// the overlay, clearing a volatile volume before; everybody else joins. One ID may mount
// several times, as engines do for a copy out of a running container.
func (d *Driver) Mount(ctx context.Context, name, id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	p, m, unlock, err := d.hold(ctx, name)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := d.isBroken(name); err != nil {
		return "", d.internal("volume could not be recovered", err)
	}
	first, err := d.join(ctx, p, m)
	if err != nil {
		return "", err
	}
	if err := d.enter(p, id); err != nil {
		if first {
			err = errors.Join(err, d.deactivate(ctx, p, m))
		}
		return "", err
	}
	if err := faults.Hit("ontop.recorded", p.dir); err != nil {
		return "", d.internal("answer", err)
	}
	return p.path(mountDir), nil
}

// enter counts one more mount of the user id.
func (d *Driver) enter(p place, id string) error {
	r, _, err := p.record(id)
	if err != nil {
		return d.internal("read the active mount", err)
	}
	r = record{Count: r.Count + 1, Boot: d.opts.Boot, Time: time.Now().UTC()}
	if err := faults.Hit("ontop.record", p.dir); err != nil {
		return d.internal("record the mount", err)
	}
	return d.internal("record the mount", p.writeRecord(id, r))
}

// join makes sure that the overlay is mounted: anew if nobody uses the volume, else it
// must be there. first is set when it was mounted anew.
func (d *Driver) join(ctx context.Context, p place, m metadata) (first bool, err error) {
	users, err := p.records()
	if err != nil {
		return false, d.internal("read records", err)
	}
	if len(users) == 0 {
		return d.activate(ctx, p, m)
	}
	if isOverlay(p.path(mountDir)) {
		return false, nil
	}
	for _, id := range users {
		if r, _, err := p.record(id); err != nil || r.Boot == d.opts.Boot || r.Boot == "" {
			return false, errdefs.WithHint(fmt.Errorf("%w: it was unmounted by somebody else (%d users on record)", ErrNotMounted, len(users)),
				"if nobody uses the volume, reset it: its content stays")
		}
	}
	d.log.Warn("records of an earlier boot are dropped", "volume", p.name, "users", len(users))
	if err := p.eraseRecords(); err != nil {
		return false, d.internal("drop stale records", err)
	}
	return d.activate(ctx, p, m)
}

// activate goes from unused to mounted; anew is false for an overlay that was left. What it
// made is gone again when it fails.
func (d *Driver) activate(ctx context.Context, p place, m metadata) (anew bool, err error) {
	// Nobody is on record: what is left there are records that a killed process did not finish.
	if err := p.eraseRecords(); err != nil {
		return false, d.internal("drop unfinished records", err)
	}
	reused, err := d.clearLeftover(p, m)
	if err != nil || reused {
		return false, err
	}
	base, err := d.base(ctx, p, m)
	if err != nil {
		return false, err
	}
	if !m.Volatile { // a volatile volume gets an upper directory that nobody has
		err = d.soleWriter(ctx, p)
	}
	if err == nil {
		err = d.prepare(p, m, base)
	}
	if err == nil {
		err = errors.Join(faults.Hit("ontop.mount", p.dir), d.overlay(p, m, base))
	}
	if err == nil {
		return true, faults.Hit("ontop.mounted", p.dir)
	}
	return false, errors.Join(err, d.releaseBase(ctx, p, m), d.cleanFolders(p))
}

// writerTime is how long an overlay that was unmounted may take to be gone, with the
// processes that had it. Podman gives a mount 5 seconds.
const writerTime = 2 * time.Second

// soleWriter makes sure that no other overlay has the upper directory: one that was
// unmounted here, but lives on in the mount namespace of a container. Two would write over
// each other.
func (d *Driver) soleWriter(ctx context.Context, p place) error {
	for deadline := time.Now().Add(d.writerTime); d.mounter.UpperInUse(p.path(upperDir)); {
		if time.Now().After(deadline) {
			return errdefs.WithHint(fmt.Errorf("%w: a process that had it mounted before still writes to it", volume.ErrInUse),
				"end the containers that used the volume when it was unmounted")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(longestPoll):
		}
	}
	return nil
}

// clearLeftover deals with an overlay that a crash or a busy unmount left, so that there are
// never two with the same upper directory. It is used again: a container may still have
// it, which no unmount here would tell. A volatile volume gets new directories instead.
func (d *Driver) clearLeftover(p place, m metadata) (reused bool, err error) {
	point := p.path(mountDir)
	mounted, err := mountapi.IsMountPoint(point)
	if err != nil || !mounted {
		return false, d.internal("look for a leftover mount", err)
	}
	if !m.Volatile && isOverlay(point) {
		d.log.Warn("overlay without users is used again", "volume", p.name)
		return true, nil
	}
	d.log.Warn("overlay without users is unmounted", "volume", p.name)
	err = mountapi.Unmount(point)
	if errors.Is(err, unix.EBUSY) {
		err = mountapi.Detach(point)
	}
	if err != nil {
		return false, d.internal("unmount a leftover", err)
	}
	// Several may be stacked there, by a program that did not look.
	for range 64 {
		if mounted, err = mountapi.IsMountPoint(point); err != nil || !mounted {
			return false, d.internal("look for a leftover mount", err)
		}
		if err := mountapi.Detach(point); err != nil {
			return false, d.internal("unmount a leftover", err)
		}
	}
	return false, d.internal("unmount a leftover", unix.EBUSY)
}

// prepare makes the folders for a mount. A volatile volume starts from its base here, and
// nowhere else: until now its changes could still be saved.
func (d *Driver) prepare(p place, m metadata, base string) error {
	if _, err := os.Stat(base); errors.Is(err, fs.ErrNotExist) {
		return missingBase(err)
	}
	if err := d.trash(p.path(workDir)); err != nil {
		return err
	}
	if m.Volatile {
		if err := d.freshUpper(p, base); err != nil {
			return err
		}
	}
	for _, dir := range []string{mountDir, workDir} {
		if err := os.Mkdir(p.path(dir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return d.internal("make folders", err)
		}
	}
	return faults.Hit("ontop.folders", p.dir)
}

// freshUpper replaces the upper directory by an empty one with the base's owner and mode, in
// one step: there always is one. What is deleted is deleted in the background.
func (d *Driver) freshUpper(p place, base string) error {
	fresh := p.path(freshDir)
	if err := d.trash(fresh); err != nil { // of a killed process, with whatever in it
		return err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return d.internal("make an empty upper directory", err)
	}
	err := d.internal("carry owner and mode", carry(base, fresh))
	if err == nil {
		err = d.internal("put the empty upper directory in place", atomicfile.Exchange(fresh, p.path(upperDir)))
	}
	if err == nil {
		err = faults.Hit("ontop.cleared", p.dir)
	}
	return errors.Join(err, d.trash(fresh), d.trash(fresh+".old"))
}

// base is the directory below the volume.
func (d *Driver) base(ctx context.Context, p place, m metadata) (string, error) {
	if m.Image == "" {
		return m.Base, nil
	}
	if d.opts.Images == nil {
		return "", fmt.Errorf("volume on top of image %s: no image store: %w", m.Image, errdefs.ErrUnsupported)
	}
	dir, err := d.opts.Images.Mount(ctx, m.Image, imageUser(p.name))
	if err != nil {
		return "", fmt.Errorf("mount image %s: %w", m.Image, err)
	}
	return dir, nil
}

func (d *Driver) releaseBase(ctx context.Context, p place, m metadata) error {
	if m.Image == "" || d.opts.Images == nil {
		return nil
	}
	if err := d.opts.Images.Unmount(context.WithoutCancel(ctx), m.Image, imageUser(p.name)); err != nil {
		return fmt.Errorf("unmount image %s: %w", m.Image, err)
	}
	return nil
}

// stack describes the mount. Features that tie an upper directory to this very mount are
// off, so that it can be compared, copied and mounted again.
func stack(p place, m metadata, base string) *mountapi.Overlay {
	o := &mountapi.Overlay{Lowers: []string{base}, Upper: p.path(upperDir), Work: p.path(workDir)}
	o.Options.Data = []string{"index=off", "redirect_dir=off", "metacopy=off"}
	if m.Snapshot != "" {
		o = &mountapi.Overlay{Lowers: []string{p.path(upperDir), base}}
	}
	return o
}

func (d *Driver) overlay(p place, m metadata, base string) error {
	err := d.mounter.Overlay(stack(p, m, base), p.path(mountDir))
	_, missing := os.Stat(base)
	switch {
	case errors.Is(err, unix.ENOENT) || err != nil && errors.Is(missing, fs.ErrNotExist):
		return missingBase(err)
	case err != nil:
		return d.internal("mount the overlay", err)
	case !isOverlay(p.path(mountDir)):
		return d.internal("mount the overlay", ErrNotMounted)
	}
	return nil
}

func missingBase(err error) error {
	return fmt.Errorf("failed to mount volume: something is missing (does the base directory exist?): %w", err)
}
