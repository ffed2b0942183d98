package layer

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/lockfile"
)

// Options describe where a store's layers are. Driver, GraphDir, RunDir and
// StorageLock are required. Paths are absolute.
type Options struct {
	// Driver holds the layers' content.
	Driver graphdriver.Driver
	// Renew makes the driver anew when another process has shut the store down
	// since (on-disk format, 3.5: storage.lock has a new token). It is called with
	// storage.lock held. nil: the driver copes by itself.
	Renew func(ctx context.Context) (graphdriver.Driver, error)
	// GraphDir is <G>/<D>-layers: records, tar-splits, data items.
	GraphDir string
	// RunDir is <R>/<D>-layers: mount counts; with a transient store volatile records too.
	RunDir string
	// ImageDir is <I>/<D>-layers, the records of image layers of a store with a
	// separate image store; "" none.
	ImageDir string
	// VolatileDir holds volatile-layers.json; "" means GraphDir. When it is another
	// directory (RunDir), the store is transient and new volatile layers go there.
	// Otherwise they go to the stable file, which every engine reads (on-disk
	// format, 9.1), and records that are in the volatile file stay there.
	VolatileDir string
	// Additional are <path>/<D>-layers of each read-only store, in order of lookup.
	// One that does not exist holds no layers.
	Additional []string
	// BackupDir keeps the last good copy of each record file (<G>/strata/backup); "" none.
	BackupDir string
	// Reserve is room for deleting on a full disk; nil: there is none.
	Reserve *reserve.Space
	// MinFree is how many bytes of the graph root's file system layers leave free; 0: none.
	MinFree int64
	// StorageLock is <G>/storage.lock.
	StorageLock *lockfile.Lock
	// Sync says whether what is written is made durable.
	Sync graphdriver.SyncMode
	// Limits cap the layers that come in; zero fields mean the defaults.
	Limits archive.Limits
	// Logger gets what a person may want to know; nil: nothing is logged.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	switch {
	case o.Driver == nil:
		return fmt.Errorf("layer store without a driver: %w", errdefs.ErrInvalid)
	case o.StorageLock == nil:
		return fmt.Errorf("layer store without storage.lock: %w", errdefs.ErrInvalid)
	case o.GraphDir == "" || o.RunDir == "":
		return fmt.Errorf("layer store without directories: %w", errdefs.ErrInvalid)
	}
	dirs := append([]string{o.GraphDir, o.RunDir, o.ImageDir, o.VolatileDir, o.BackupDir}, o.Additional...)
	i := slices.IndexFunc(dirs, func(d string) bool { return d != "" && !filepath.IsAbs(d) })
	if i >= 0 {
		return fmt.Errorf("directory %q of the layer store is not absolute: %w", dirs[i], errdefs.ErrInvalid)
	}
	return nil
}

// withDefaults fills in what may be left out.
func (o Options) withDefaults() Options {
	if o.VolatileDir == "" {
		o.VolatileDir = o.GraphDir
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// transient reports whether volatile records do not outlive a reboot.
func (o *Options) transient() bool { return o.VolatileDir != o.GraphDir }
