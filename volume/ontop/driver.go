package ontop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// DefaultName is the driver's name.
const DefaultName = "strata-ontop"

// Images gives read-only views of images, for volumes with the option lower.
type Images interface {
	// Mount returns a directory with the image's content, which stays until Unmount. The
	// same user may mount again without being counted twice; name and user are stable
	// over restarts of the process.
	Mount(ctx context.Context, image, user string) (dir string, err error)
	// Unmount ends the user's Mount; one that is not there is success. image is "" if the
	// caller does not know it any more.
	Unmount(ctx context.Context, image, user string) error
}

// Options of a driver.
type Options struct {
	// Root is the state folder, made (0700) if it is missing. Its file system must be able
	// to hold an overlay's upper directory.
	Root string
	// Name is the driver's name; "" is DefaultName. Internal errors begin with it.
	Name string
	// Images serves the option lower; nil: volumes are on top of directories only.
	Images Images
	// LookOnly leaves the recovery of volumes to others: for who lists and describes them.
	LookOnly bool
	// Boot is the identity of this run of the machine; "" is volume.BootID's.
	Boot string
	// Logger gets what is noteworthy and no error; nil: nothing is logged.
	Logger *slog.Logger
}

// Driver is the driver. It is safe for concurrent use, also by several processes over one
// state folder.
type Driver struct {
	opts    Options
	log     *slog.Logger
	mounter mountapi.Mounter
	deleter sync.WaitGroup
	// writerTime is the constant of that name, other than in tests.
	writerTime time.Duration

	mu     sync.Mutex
	broken map[string]error // volumes that could not be recovered at start
}

var (
	_ volume.Driver      = (*Driver)(nil)
	_ volume.Sizer       = (*Driver)(nil)
	_ volume.Cloner      = (*Driver)(nil)
	_ volume.Snapshotter = (*Driver)(nil)
	_ volume.Renamer     = (*Driver)(nil)
	_ volume.Settler     = (*Driver)(nil)
)

// New opens the state folder and recovers each volume in it: what nobody uses is cleaned,
// what is mounted and recorded is left to its users. A volume that can not be recovered
// fails alone. The caller closes the driver.
func New(ctx context.Context, opts Options) (*Driver, error) {
	if opts.Name == "" {
		opts.Name = DefaultName
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.Root, 0o700); err != nil {
		return nil, fmt.Errorf("volumes on top: %w", err)
	}
	root, err := filepath.Abs(opts.Root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, fmt.Errorf("volumes on top: %w", err)
	}
	opts.Root = root
	if opts.Boot == "" {
		if opts.Boot, err = volume.BootID(); err != nil {
			return nil, fmt.Errorf("volumes on top: %w", err)
		}
	}
	d := &Driver{opts: opts, log: opts.Logger, writerTime: writerTime, broken: map[string]error{}}
	if opts.LookOnly {
		return d, nil
	}
	return d, d.recover(ctx)
}

// Close waits until what was discarded is deleted. Mounts stay.
func (d *Driver) Close() error {
	d.deleter.Wait()
	return nil
}

// Name is the driver's name.
func (d *Driver) Name() string { return d.opts.Name }

// Scope is local: state and mounts are on this host.
func (d *Driver) Scope(context.Context) volume.Scope { return volume.ScopeLocal }

// internal tells errors of the driver's own from those of its users.
func (d *Driver) internal(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s internal error: %s: %w", d.opts.Name, what, err)
}

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
	err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, d.place(name).dir, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
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

// trash renames a folder away and deletes it in the background.
func (d *Driver) trash(path string) error {
	gone := filepath.Join(d.opts.Root, trashPrefix+volume.NewName()[:16])
	err := os.Rename(path, gone)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.internal("set aside what is to be deleted", err)
	}
	d.deleteLater(gone)
	return nil
}

func (d *Driver) deleteLater(path string) {
	d.deleter.Go(func() {
		if err := tree.Remove(path); err != nil {
			d.log.Warn("what was discarded is not deleted: the next start tries again", "error", err)
		}
	})
}

// List describes all volumes; Status has users, as far as they can be told without the
// volumes' locks. Other folders, files and incomplete volumes are none.
func (d *Driver) List(ctx context.Context) ([]volume.Info, error) {
	entries, err := os.ReadDir(d.opts.Root)
	if err != nil {
		return nil, d.internal("list the state folder", err)
	}
	var infos []volume.Info
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !e.IsDir() || checkName(e.Name()) != nil {
			continue
		}
		p := d.place(e.Name())
		m, err := p.metadata()
		if err != nil {
			if !errors.Is(err, volume.ErrNoSuchVolume) {
				d.log.Warn("folder is not listed as a volume", "error", err)
			}
			continue
		}
		info := d.info(p, m)
		if users, err := p.records(); err == nil {
			info.Status = map[string]any{"users": len(users)}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// info is what a volume looks like without its lock.
func (d *Driver) info(p place, m metadata) volume.Info {
	info := volume.Info{Name: p.name, CreatedAt: m.Created}
	if st, err := os.Stat(p.dir); err == nil && info.CreatedAt.IsZero() {
		info.CreatedAt = st.ModTime().UTC().Truncate(time.Second)
	}
	if isOverlay(p.path(mountDir)) {
		info.Mountpoint = p.path(mountDir)
	}
	return info
}

// statusTime limits how long Get sums up sizes: engines ask it several times for one
// start of a container.
const statusTime = 50 * time.Millisecond

// Get describes a volume. Status has mounted, users, base or image, volatile, and
// upper_bytes unless summing them up takes too long.
func (d *Driver) Get(ctx context.Context, name string) (volume.Info, error) {
	if err := checkName(name); err != nil {
		return volume.Info{}, err
	}
	p := d.place(name)
	unlock, m, err := p.lock(ctx, false)
	if err != nil {
		return volume.Info{}, err
	}
	defer unlock()
	info := d.info(p, m)
	users, err := p.records()
	if err != nil {
		return volume.Info{}, d.internal("read records", err)
	}
	info.Status = map[string]any{"mounted": info.Mountpoint != "", "users": len(users), "volatile": m.Volatile}
	for key, value := range map[string]string{"base": m.Base, "image": m.Image, "snapshot_of": m.Snapshot} {
		if value != "" {
			info.Status[key] = value
		}
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	if size, err := tree.Size(ctx, p.path(upperDir)); err == nil {
		info.Status["upper_bytes"] = size
	}
	if err := d.isBroken(name); err != nil {
		info.Status["error"] = err.Error()
	}
	return info, nil
}

// Path is where the volume is mounted, "" while it is not.
func (d *Driver) Path(ctx context.Context, name string) (string, error) {
	if err := errors.Join(ctx.Err(), checkName(name)); err != nil {
		return "", err
	}
	p := d.place(name)
	m, err := p.metadata()
	return d.info(p, m).Mountpoint, err
}

// Size sums up the changes on top of the base.
func (d *Driver) Size(ctx context.Context, name string) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	p := d.place(name)
	if _, err := p.metadata(); err != nil {
		return 0, err
	}
	return tree.Size(ctx, p.path(upperDir))
}

func (d *Driver) isBroken(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken[name]
}

func (d *Driver) setBroken(name string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.broken, name)
		return
	}
	d.broken[name] = err
}

// isOverlay reports whether an overlay is mounted at path.
func isOverlay(path string) bool {
	mounted, err := mountapi.IsMountPoint(path)
	if err != nil || !mounted {
		return false
	}
	kind, err := mountapi.FSTypeOf(path)
	return err == nil && kind == mountapi.Overlayfs
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }
