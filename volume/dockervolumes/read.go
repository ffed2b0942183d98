package dockervolumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/internal/boltfile"
)

// The errors about a data root and its volumes.
var (
	// ErrRunning: an engine has the volumes' database open, as each does while it runs.
	ErrRunning = errdefs.New(errdefs.ErrLocked, "the data root is in use by a running engine")
	// ErrPlugin: a volume's data is with a plugin, not in the data root.
	ErrPlugin = errdefs.New(errdefs.ErrUnsupported, "volumes of plugins can not be copied")
)

// lockTime is how long the database's lock is waited for. An engine never lets go of it.
const lockTime = 200 * time.Millisecond

// Options of Read.
type Options struct {
	// AllowRunning reads the folders although an engine is running; labels and the volumes
	// of plugins are then not known.
	AllowRunning bool
}

// Volume is a volume of the data root.
type Volume struct {
	Name, Driver string
	Labels       map[string]string
	// Options are those that the driver local needs to make the volume again.
	Options map[string]string
	// Data is the directory with the volume's data; "" for a volume that is a mount.
	Data string
	// Err is the reason why the volume can not be taken over.
	Err error
}

// Sockets counts the sockets in the data, which no copy can keep.
func (v Volume) Sockets(ctx context.Context) (int, error) {
	if v.Data == "" {
		return 0, nil
	}
	n := 0
	err := filepath.WalkDir(v.Data, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket {
			n++
		}
		return errors.Join(err, ctx.Err())
	})
	return n, err
}

// record is an entry of the database.
type record struct {
	Name, Driver    string
	Labels, Options map[string]string
}

// Read lists the volumes of the data root at path, or of the only folder of remapped users
// in it, sorted by name. A root in use by an engine is an ErrRunning, one without volumes
// an errdefs.ErrNotFound. What is wrong with one volume is in that Volume.
func Read(ctx context.Context, path string, opts Options) ([]Volume, error) {
	dir, err := volumesFolder(path)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("docker data root %s: %w", path, err)
	}
	records, err := readDatabase(filepath.Join(dir, "metadata.db"))
	if errors.Is(err, ErrRunning) && opts.AllowRunning {
		records, err = nil, nil
	}
	if errors.Is(err, ErrRunning) {
		err = errdefs.WithHint(err, "stop the engine, or read it all the same with --force-running")
	}
	if err != nil {
		return nil, fmt.Errorf("docker data root %s: %w", path, err)
	}
	volumes, err := readFolders(ctx, dir, records)
	if err != nil {
		return nil, fmt.Errorf("docker data root %s: %w", path, err)
	}
	for name, r := range records {
		if r.Driver != "" && r.Driver != volume.DefaultDriver {
			volumes = append(volumes, Volume{Name: name, Driver: r.Driver, Labels: r.Labels, Options: r.Options, Err: fmt.Errorf("%w: driver %s", ErrPlugin, r.Driver)})
		}
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return volumes, nil
}

// remapped is the folder that an engine with remapped users keeps everything in.
var remapped = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

func volumesFolder(root string) (string, error) {
	own := filepath.Join(root, "volumes")
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		below := filepath.Join(root, e.Name(), "volumes")
		if info, err := os.Stat(below); remapped.MatchString(e.Name()) && err == nil && info.IsDir() {
			found = append(found, below)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("there are no volumes: %w", errdefs.ErrNotFound)
	}
	return "", errdefs.WithHint(fmt.Errorf("several engines with remapped users have volumes: %w", errdefs.ErrInvalid), "name one of the folders, such as "+filepath.Dir(found[0]))
}

// readDatabase reads all records by name; a missing database is an empty one. What does not
// parse is left out: its folder counts all the same.
func readDatabase(path string) (map[string]record, error) {
	records := map[string]record{}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return records, nil
	}
	db, err := boltfile.Open(path, 0o600, bbolt.Options{ReadOnly: true, Timeout: lockTime})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, ErrRunning
	case err != nil:
		return nil, fmt.Errorf("read volumes/metadata.db: %w", err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte("volumes"))
		if bucket == nil {
			return nil
		}
		return bucket.ForEach(func(key, value []byte) error {
			var r record
			if json.Unmarshal(value, &r) == nil && volume.CheckName(string(key)) == nil {
				records[string(key)] = r
			}
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, fmt.Errorf("read volumes/metadata.db: %w", err)
	}
	return records, nil
}

func readFolders(ctx context.Context, dir string, records map[string]record) ([]Volume, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var volumes []Volume
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if e.IsDir() && volume.CheckName(e.Name()) == nil {
			volumes = append(volumes, readFolder(dir, e.Name(), records[e.Name()]))
		}
	}
	return volumes, nil
}

// readFolder describes a volume of the driver local.
func readFolder(dir, name string, r record) Volume {
	v := Volume{Name: name, Driver: volume.DefaultDriver, Labels: r.Labels}
	data := filepath.Join(dir, name, "_data")
	info, err := os.Lstat(data)
	switch {
	case err != nil:
		v.Err = fmt.Errorf("volume %s has no data: %w", name, err)
	case !info.IsDir():
		v.Err = fmt.Errorf("volume %s: its data is no directory: %w", name, errdefs.ErrCorrupt)
	default:
		v.Options, v.Err = readOptions(filepath.Join(dir, name, "opts.json"))
	}
	if v.Options["type"] == "" {
		v.Data = data
	}
	return v
}

// readOptions turns a volume's opts.json into the options of Create; a missing file, and
// one with nothing in it, are none.
func readOptions(path string) (map[string]string, error) {
	var saved struct {
		MountType, MountOpts, MountDevice string
		Quota                             struct{ Size uint64 }
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &saved)
	}
	if err != nil {
		return nil, fmt.Errorf("options %s: %w: %w", path, errdefs.ErrCorrupt, err)
	}
	options := map[string]string{}
	for key, value := range map[string]string{"type": saved.MountType, "device": saved.MountDevice, "o": saved.MountOpts} {
		if value != "" {
			options[key] = value
		}
	}
	if saved.Quota.Size > 0 {
		options["size"] = strconv.FormatUint(saved.Quota.Size, 10)
	}
	return options, nil
}
