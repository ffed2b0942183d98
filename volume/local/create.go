package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// Create makes a volume: ready under another name, then renamed, so that there is no half
// one. A volume that is there is returned as it is. Bad options are an ErrOption or
// ErrMissing, a size on a file system without project quotas an ErrNoQuota.
func (d *Driver) Create(ctx context.Context, name string, options map[string]string) (volume.Info, error) {
	if _, err := d.lookup(name); err == nil {
		return d.info(name) // the first options stay
	}
	info, err := d.create(ctx, name, options, nil)
	if errors.Is(err, volume.ErrExists) {
		return d.info(name) // somebody was faster
	}
	return info, err
}

func (d *Driver) create(ctx context.Context, name string, options map[string]string, fill func(data string) error) (volume.Info, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return volume.Info{}, err
	}
	s, err := parseSpec(options)
	if err != nil {
		return volume.Info{}, err
	}
	if err := d.build(name, s, len(options) > 0, fill); err != nil {
		return volume.Info{}, err
	}
	return d.made(name), nil
}

// made describes a new volume, which is there whether or not it can be looked at.
func (d *Driver) made(name string) volume.Info {
	info, err := d.info(name)
	if err != nil {
		return volume.Info{Name: name, Mountpoint: d.path(name, dataDir), CreatedAt: time.Now().UTC()}
	}
	return info
}

// build makes a volume and enters it; fill, unless nil, puts something into its data
// directory. A name that is taken is a volume.ErrExists.
func (d *Driver) build(name string, s spec, withOptions bool, fill func(data string) error) error {
	temp, held, err := tree.NewDir(d.opts.Root, newPrefix)
	if err != nil {
		return fmt.Errorf("create volume: %w", err)
	}
	defer held.Close()
	data := filepath.Join(temp, dataDir)
	err = errors.Join(os.Chmod(temp, 0o701), os.Mkdir(data, 0o755))
	if err == nil {
		err = errors.Join(os.Chmod(data, 0o755), os.Chown(data, d.opts.UID, d.opts.GID))
	}
	if err == nil && withOptions {
		err = writeSpec(filepath.Join(temp, optsFile), s)
	}
	if err == nil && s.Quota.Size > 0 {
		err = limit(d.opts.Root, data, s.Quota.Size)
	}
	if err == nil && fill != nil {
		err = fill(data)
	}
	if err == nil {
		err = d.adopt(temp, name, s)
	}
	switch {
	case err == nil:
		return d.keep(name)
	case errors.Is(err, ErrNoQuota):
		return errors.Join(errdefs.WithHint(err, "leave size out, or keep the store on XFS or ext4 with project quotas (mount option prjquota)"), tree.Remove(temp))
	case errors.Is(err, volume.ErrExists):
		return errors.Join(err, tree.Remove(temp))
	}
	return errors.Join(fmt.Errorf("create volume: %w", err), tree.Remove(temp))
}

// adopt puts a complete folder in a volume's place and enters the volume.
func (d *Driver) adopt(temp, name string, s spec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := atomicfile.RenameNew(temp, d.path(name))
	if errors.Is(err, fs.ErrExist) {
		return volume.ErrExists
	}
	if err == nil {
		d.volumes[name] = &state{spec: s, users: map[string]int{}}
	}
	return err
}

// keep makes a new volume outlive a power cut, or takes it away again.
func (d *Driver) keep(name string) error {
	err := atomicfile.SyncDir(d.opts.Root)
	if err == nil {
		return nil
	}
	_, undo := d.discard(name)
	return fmt.Errorf("create volume: %w", errors.Join(err, undo))
}

func writeSpec(path string, s spec) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = atomicfile.Write(path, data, atomicfile.Options{Mode: 0o600})
	return err
}
