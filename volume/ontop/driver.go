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
