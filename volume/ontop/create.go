package ontop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// Create makes a volume. Options are base (an absolute path), or lower (an image), and
// volatile. A volume that is there is a volume.ErrExists, bad options are ErrOption.
func (d *Driver) Create(ctx context.Context, name string, options map[string]string) (volume.Info, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return volume.Info{}, err
	}
	m, err := d.parseOptions(options)
	if err != nil {
		return volume.Info{}, err
	}
	m.Created = time.Now().UTC().Truncate(time.Second)
	err = d.build(name, m, func(p place) error { return d.carryBase(ctx, p, m) })
	if err != nil {
		return volume.Info{}, err
	}
	return d.made(ctx, name, m), nil
}

// made describes a new volume, which is there whether or not all of it can be told.
func (d *Driver) made(ctx context.Context, name string, m metadata) volume.Info {
	info, err := d.Get(ctx, name)
	if err != nil {
		return d.info(d.place(name), m)
	}
	return info
}

// build makes a volume complete under another name and renames it. fill is called when
// everything but the metadata is there.
func (d *Driver) build(name string, m metadata, fill func(place) error) (err error) {
	if err := d.takeIncomplete(name); err != nil {
		return err
	}
	dir, held, err := tree.NewDir(d.opts.Root, newPrefix)
	if err != nil {
		return d.internal("make the volume's folder", err)
	}
	defer held.Close()
	p := place{name: name, dir: dir}
	defer func() {
		if stays := (*imageStays)(nil); err != nil && !errors.As(err, &stays) {
			err = errors.Join(err, tree.Remove(p.dir))
		}
	}()
	if err := errors.Join(os.Mkdir(p.path(upperDir), 0o755), os.Mkdir(p.path(recordsDir), 0o700)); err != nil {
		return d.internal("make the volume's folders", err)
	}
	if err := fill(p); err != nil {
		return err
	}
	if err := errors.Join(faults.Hit("ontop.metadata", d.opts.Root), p.writeMetadata(m)); err != nil {
		return d.internal("write metadata", err)
	}
	if err := d.adopt(dir, name); err != nil {
		return err
	}
	if err := d.sync(); err != nil { // it might not outlive a power cut
		return errors.Join(err, d.trash(d.place(name).dir))
	}
	return nil
}

func (d *Driver) sync() error {
	return d.internal("sync the state folder", atomicfile.SyncDir(d.opts.Root))
}

// adopt puts a complete folder in the volume's place, unless somebody was faster.
func (d *Driver) adopt(dir, name string) error {
	err := atomicfile.RenameNew(dir, d.place(name).dir)
	if errors.Is(err, fs.ErrExist) {
		return volume.ErrExists
	}
	return d.internal("put the volume in its place", err)
}

// takeIncomplete clears the name of a volume that was never completed.
func (d *Driver) takeIncomplete(name string) error {
	p := d.place(name)
	info, err := os.Lstat(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.internal("look at the volume", err)
	}
	if _, err := os.Lstat(p.path(metadataFile)); !info.IsDir() || !errors.Is(err, fs.ErrNotExist) {
		return volume.ErrExists
	}
	if at, err := mountapi.AnyBelow(p.dir); err != nil || at {
		return d.internal("replace an incomplete volume", errors.Join(err, tree.ErrMounted))
	}
	return d.trash(p.dir)
}

// carryBase gives a new upper directory the owner and mode of the base: overlay shows the
// upper's at the volume's root.
func (d *Driver) carryBase(ctx context.Context, p place, m metadata) error {
	if m.Image == "" {
		return d.internal("carry the base's owner and mode", carry(m.Base, p.path(upperDir)))
	}
	user := imageUser(filepath.Base(p.dir)) // nobody else's while the volume has no name
	dir, err := d.opts.Images.Mount(ctx, m.Image, user)
	if err != nil {
		err = fmt.Errorf("mount image %s: %w", m.Image, err)
	} else {
		err = d.internal("carry the image's owner and mode", carry(dir, p.path(upperDir)))
	}
	if stays := d.opts.Images.Unmount(context.WithoutCancel(ctx), m.Image, user); stays != nil {
		return errors.Join(err, &imageStays{m.Image, stays})
	}
	return err
}

// imageStays says that an image could not be unmounted. The folder of the volume that was to
// be is left: by its name the next start knows what to unmount.
type imageStays struct {
	image string
	err   error
}

func (e *imageStays) Error() string { return fmt.Sprintf("unmount image %s: %v", e.image, e.err) }
func (e *imageStays) Unwrap() error { return e.err }

func carry(base, upper string) error {
	var st unix.Stat_t
	if err := unix.Stat(base, &st); err != nil {
		return err
	}
	if err := unix.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(upper, st.Mode&0o7777)
}

// imageUser is how a volume is known to Images.
func imageUser(volume string) string { return "volume:" + volume }
