package local

import (
	"context"
	"encoding/json"
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

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/tree"
)

// Names inside the volumes folder. Those with a leading dot are no volumes' names.
const (
	dataDir   = "_data"
	optsFile  = "opts.json"
	newPrefix = ".new-"
	oldPrefix = ".removed-"
)

// reserved are names that Docker has for other things in the same folder.
var reserved = map[string]bool{"metadata.db": true, "backingFsBlockDev": true}

// Options of a driver.
type Options struct {
	// Root is the folder of the volumes, made if it is missing.
	Root string
	// UID and GID own the data of new volumes: the mapped root, 0 without a mapping.
	UID, GID int
	// Logger gets what is noteworthy and no error; nil: nothing is logged.
	Logger *slog.Logger
}

// Driver is the local driver. It is safe for concurrent use; two Drivers over one folder,
// in this process or another, see each other's volumes, but do not know each other's users.
type Driver struct {
	opts Options
	log  *slog.Logger

	mu sync.Mutex
	// volumes are those that somebody has asked for. What volumes there are the disk tells:
	// while the store waits for its database other processes make and remove some.
	volumes map[string]*state
}

// state is one volume. mu is held while it is mounted, unmounted or removed.
type state struct {
	mu      sync.Mutex
	spec    spec
	damaged error          // opts.json can not be read
	users   map[string]int // mounts per holder
	removed bool
}

var (
	_ volume.Driver   = (*Driver)(nil)
	_ volume.Sizer    = (*Driver)(nil)
	_ volume.Restorer = (*Driver)(nil)
	_ volume.Settler  = (*Driver)(nil)
)

// New opens the volumes below opts.Root and clears what killed processes left. A volume
// whose options can not be read fails alone.
func New(ctx context.Context, opts Options) (*Driver, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(opts.Root, 0o701); err != nil {
		return nil, fmt.Errorf("local volumes: %w", err)
	}
	root, err := filepath.EvalSymlinks(opts.Root)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return nil, fmt.Errorf("local volumes: %w", err)
	}
	opts.Root = root
	d := &Driver{opts: opts, log: opts.Logger, volumes: map[string]*state{}}
	return d, d.sweep(ctx)
}

// sweep deletes what was being removed, and what was being made unless its maker lives.
func (d *Driver) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(d.opts.Root)
	if err != nil {
		return fmt.Errorf("local volumes: %w", err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := d.path(e.Name())
		if !strings.HasPrefix(e.Name(), oldPrefix) && (!strings.HasPrefix(e.Name(), newPrefix) || !tree.Abandoned(path)) {
			continue
		}
		if err := tree.Remove(path); err != nil {
			d.log.Warn("leftover of a volume stays", "error", err)
		}
	}
	return nil
}

// read loads one volume's options.
func (d *Driver) read(name string) (*state, error) {
	v := &state{users: map[string]int{}}
	data, err := os.ReadFile(d.path(name, optsFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return v, nil
	case err != nil:
		return nil, fmt.Errorf("options of volume %s: %w", name, err)
	}
	if err := json.Unmarshal(data, &v.spec); err != nil {
		v.damaged = fmt.Errorf("options of volume %s: %w: %w", name, errdefs.ErrCorrupt, err)
		d.log.Warn("volume can not be used", "volume", name, "error", v.damaged)
	}
	return v, nil
}

// checkName is the store's rule and this driver's own.
func checkName(name string) error {
	if len(name) == 1 {
		return errTooShort
	}
	if err := volume.CheckName(name); err != nil {
		return err
	}
	if reserved[name] {
		return fmt.Errorf("%w: %q is reserved", volume.ErrInvalidName, name)
	}
	return nil
}

func (d *Driver) path(parts ...string) string {
	return filepath.Join(append([]string{d.opts.Root}, parts...)...)
}

// Name is "local".
func (d *Driver) Name() string { return volume.DefaultDriver }

// Scope is local.
func (d *Driver) Scope(context.Context) volume.Scope { return volume.ScopeLocal }

// lookup finds a volume; ErrNoSuchVolume if there is none.
func (d *Driver) lookup(name string) (*state, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Lstat(d.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir():
		delete(d.volumes, name)
		return nil, volume.ErrNoSuchVolume
	case err != nil:
		return nil, fmt.Errorf("look at volume %s: %w", name, err)
	}
	if d.volumes[name] == nil {
		v, err := d.read(name)
		if err != nil {
			return nil, err
		}
		d.volumes[name] = v
	}
	return d.volumes[name], nil
}

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
	err := unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, d.path(name), unix.RENAME_NOREPLACE)
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

// Get describes a volume.
func (d *Driver) Get(ctx context.Context, name string) (volume.Info, error) {
	if err := ctx.Err(); err != nil {
		return volume.Info{}, err
	}
	if _, err := d.lookup(name); err != nil {
		return volume.Info{}, err
	}
	return d.info(name)
}

func (d *Driver) info(name string) (volume.Info, error) {
	st, err := os.Stat(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return volume.Info{}, volume.ErrNoSuchVolume
	}
	if err != nil {
		return volume.Info{}, fmt.Errorf("look at volume %s: %w", name, err)
	}
	return volume.Info{Name: name, Mountpoint: d.path(name, dataDir), CreatedAt: st.ModTime().UTC()}, nil
}

// List describes all volumes.
func (d *Driver) List(ctx context.Context) ([]volume.Info, error) {
	entries, err := os.ReadDir(d.opts.Root)
	if err != nil {
		return nil, fmt.Errorf("list local volumes: %w", err)
	}
	var infos []volume.Info
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !e.IsDir() || checkName(e.Name()) != nil {
			continue
		}
		if info, err := d.info(e.Name()); err == nil {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// Path is where the data is, or will be once the volume is mounted.
func (d *Driver) Path(ctx context.Context, name string) (string, error) {
	info, err := d.Get(ctx, name)
	return info.Mountpoint, err
}

// Size sums up the volume's files; a mount that is not there counts nothing.
func (d *Driver) Size(ctx context.Context, name string) (int64, error) {
	if _, err := d.lookup(name); err != nil {
		return 0, err
	}
	return tree.Size(ctx, d.path(name, dataDir))
}

// Remove deletes a volume. While it has users it is an ErrInUse. Something that stays
// mounted below the volume makes the removal fail before anything is deleted.
func (d *Driver) Remove(ctx context.Context, name string) error {
	v, err := d.lookup(name)
	if err := errors.Join(ctx.Err(), err); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.removed:
		return volume.ErrNoSuchVolume
	case len(v.users) > 0:
		return fmt.Errorf("%w: mounted by %d holders", volume.ErrInUse, len(v.users))
	}
	gone, err := d.discard(name)
	if gone {
		v.removed = true
		d.mu.Lock()
		if d.volumes[name] == v { // and not a new one of that name
			delete(d.volumes, name)
		}
		d.mu.Unlock()
	}
	return err
}

// discard renames the volume away and deletes it. gone is set from the rename on: what can
// not be deleted then is left to the next start.
func (d *Driver) discard(name string) (gone bool, err error) {
	dir := d.path(name)
	if err := d.detach(dir); err != nil {
		return false, err
	}
	old := d.path(oldPrefix + volume.NewName()[:16])
	err = os.Rename(dir, old)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove volume: %w", err)
	}
	if err := errors.Join(atomicfile.SyncDir(d.opts.Root), tree.Remove(old)); err != nil {
		return true, fmt.Errorf("remove volume: %w", err)
	}
	return true, nil
}

// detach unmounts a volume and proves that its folder is its own.
func (d *Driver) detach(dir string) error {
	data := filepath.Join(dir, dataDir)
	real, err := filepath.EvalSymlinks(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	if real != data {
		return fmt.Errorf("remove volume: %s is really %s: %w", data, real, errdefs.ErrInvalid)
	}
	if err := unmountLeft(data); err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	at, err := mountapi.IsMountPoint(data)
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	below, err := mountapi.AnyBelow(dir)
	if err != nil {
		return fmt.Errorf("remove volume: %w", err)
	}
	if at || below {
		return fmt.Errorf("remove volume: %s: %w", dir, tree.ErrMounted)
	}
	return nil
}

// unmountLeft unmounts what is mounted at path without a user. Where nothing is, the kernel is
// not asked: it would refuse an ordinary user even that.
func unmountLeft(path string) error {
	if at, err := mountapi.IsMountPoint(path); err != nil || !at {
		return err
	}
	return mountapi.Unmount(path)
}

// errTooShort has the text that users of other engines know.
var errTooShort = errdefs.New(volume.ErrInvalidName, "volume name is too short, names should be at least two alphanumeric characters")
