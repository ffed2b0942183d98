package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

var (
	_ volume.Cloner  = (*Driver)(nil)
	_ volume.Renamer = (*Driver)(nil)
	_ volume.Filler  = (*Driver)(nil)
)

// CreateFrom is Create of a volume that begins with a copy of the directory dir: owners,
// modes, times, extended attributes, hard links and holes are kept, sockets left out. A
// volume that is there is a volume.ErrExists, options for a mount an ErrOption: what is
// mounted would hide the copy.
func (d *Driver) CreateFrom(ctx context.Context, name string, options map[string]string, dir string) (volume.Info, error) {
	s, err := parseSpec(options)
	if err != nil {
		return volume.Info{}, err
	}
	if s.mounted() {
		return volume.Info{}, fmt.Errorf("%w: a volume that is a mount can not be filled", ErrOption)
	}
	return d.create(ctx, name, options, filler(ctx, dir))
}

// filler copies the content of dir and writes it to the disk before the volume appears.
func filler(ctx context.Context, dir string) func(string) error {
	return func(data string) error {
		if err := tree.Copy(ctx, data, dir); err != nil {
			return err
		}
		return atomicfile.SyncFilesystem(data)
	}
}

// still runs do while nobody has the volume mounted and nobody can mount it.
func (d *Driver) still(ctx context.Context, name string, do func(*state) error) error {
	v, err := d.lookup(name)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.removed:
		return volume.ErrNoSuchVolume
	case v.damaged != nil:
		return v.damaged
	case len(v.users) > 0:
		return fmt.Errorf("%w: mounted by %d holders", volume.ErrInUse, len(v.users))
	}
	return do(v)
}

// Clone makes a new volume with the same options and a copy of the data, shared on disk
// where the file system can. Of a volume that is a mount only the definition is copied.
func (d *Driver) Clone(ctx context.Context, name, newName string) (volume.Info, error) {
	if err := checkName(newName); err != nil {
		return volume.Info{}, err
	}
	err := d.still(ctx, name, func(v *state) error {
		fill := filler(ctx, d.path(name, dataDir))
		if v.spec.mounted() {
			fill = nil
		}
		return d.build(newName, v.spec, v.spec != spec{}, fill)
	})
	if err != nil {
		return volume.Info{}, err
	}
	return d.made(newName), nil
}

// Rename gives a volume another name. What is still mounted at it without a user is unmounted.
func (d *Driver) Rename(ctx context.Context, name, newName string) error {
	if err := checkName(newName); err != nil {
		return err
	}
	return d.still(ctx, name, func(v *state) error {
		if err := unmountLeft(d.path(name, dataDir)); err != nil {
			return fmt.Errorf("rename volume: %w", err)
		}
		if below, err := mountapi.AnyBelow(d.path(name)); err != nil || below {
			return fmt.Errorf("rename volume: %w", errors.Join(err, errdefs.New(errdefs.ErrInUse, "something is mounted in it")))
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		err := atomicfile.RenameNew(d.path(name), d.path(newName))
		switch {
		case errors.Is(err, fs.ErrExist):
			return volume.ErrExists
		case err != nil:
			return fmt.Errorf("rename volume: %w", err)
		}
		v.removed = true // for who waits with the old name
		d.volumes[newName] = &state{spec: v.spec, users: map[string]int{}}
		delete(d.volumes, name)
		return atomicfile.SyncDir(d.opts.Root)
	})
}
