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

	"github.com/stratastore/strata/errdefs"
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
