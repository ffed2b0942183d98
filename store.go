package strata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/reserve"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/lockfile"
)

// Store is an open store. Its methods are safe for concurrent use, in several
// goroutines and beside other processes and engines. It holds no lock between
// calls. Several stores may be open in one process.
type Store struct {
	opts  Options
	roots roots
	log   *slog.Logger

	layers     *layer.Store
	chains     *layer.ChainStore
	images     *image.Store
	containers *container.Store
	storage    *lockfile.Lock // <graph root>/storage.lock
	userns     *lockfile.Lock // <graph root>/userns.lock
	reserve    *reserve.Space // <graph root>/strata/reserve

	driver driverHandle
	closed atomic.Bool
	// gaveUp: what others left unfinished could not be finished by this process.
	gaveUp atomic.Bool
}

// driverHandle is the driver in use, which is made anew when another process has
// shut the store down.
type driverHandle struct {
	mu     sync.Mutex
	driver graphdriver.Driver
	name   string
	reason string
}

func (h *driverHandle) get() graphdriver.Driver {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.driver
}

func (h *driverHandle) set(d graphdriver.Driver) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.driver = d
}

// Substores gives access to the records of each kind with their transactions. A
// program that holds more than one of them takes them in this order, which is the
// order of the locks (on-disk format, 3.3).
type Substores struct {
	Layers *layer.Store
	// Chains are the same layers by chain ID, with counted references. It takes all the
	// locks that it needs by itself: hold none.
	Chains     *layer.ChainStore
	Images     *image.Store
	Containers *container.Store
}

// Open opens the store that opts describe, or makes it. It writes nothing into
// additional stores. ErrIncompleteOptions without roots; what the choice of the
// driver fails with. The caller closes the store.
func Open(ctx context.Context, opts Options) (*Store, error) {
	r, err := newRoots(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, roots: r, log: opts.Logger, reserve: reserve.New(r.reserveDir())}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Registry == nil {
		s.opts.Registry = DefaultRegistry()
	}
	for _, dir := range []string{r.graph, r.run, r.image} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make storage root: %w", err)
		}
	}
	s.storage = lockfile.New(r.storageLock(), lockfile.Options{Logger: s.log})
	s.userns = lockfile.New(r.usernsLock(), lockfile.Options{Logger: s.log})
	if err := s.openDriver(ctx); err != nil {
		return nil, err
	}
	if err := s.openSubstores(); err != nil {
		return nil, err
	}
	if err := r.noteImageStore(); err != nil {
		s.log.WarnContext(ctx, "image store is not noted in the graph root", "error", err)
	}
	return s, nil
}

// openDriver chooses and opens the driver under the storage lock, which every
// engine holds while it sets a driver up. Another program's driver is waited for without.
func (s *Store) openDriver(ctx context.Context) (err error) {
	if s.opts.Registry.Outside(s.opts.Driver) {
		return s.chooseDriver(ctx)
	}
	held, err := s.lockStorage(ctx)
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.roots.graph, err)
	}
	if held != nil {
		defer func() { err = errors.Join(err, held.Unlock()) }()
	}
	return s.chooseDriver(ctx)
}

func (s *Store) chooseDriver(ctx context.Context) error {
	choice := s.choice()
	d, reason, err := s.opts.Registry.Open(ctx, choice)
	if err != nil {
		return err
	}
	s.driver.driver, s.driver.name, s.driver.reason = d, d.Name(), reason
	additional, err := choice.ImageStores(d.Name())
	if err != nil {
		return err
	}
	return s.roots.setAdditional(additional)
}

func (s *Store) choice() graphdriver.Choice {
	return graphdriver.Choice{
		Root:            s.roots.graph,
		RunRoot:         s.roots.run,
		ImageRoot:       s.roots.image,
		AdditionalRoots: s.opts.AdditionalImageStores,
		Name:            s.opts.Driver,
		Priority:        s.opts.DriverPriority,
		Options:         s.opts.DriverOptions,
		Logger:          s.log,
		Sync:            s.opts.Sync,
		Rootless:        s.opts.Rootless,
		DisableIDMap:    s.opts.DisableIDMap,
	}
}

// renewDriver opens the driver again. The layer store calls it, with the storage
// lock held, when another process has shut the store down.
func (s *Store) renewDriver(ctx context.Context) (graphdriver.Driver, error) {
	choice := s.choice()
	choice.Name = s.driver.name
	d, _, err := s.opts.Registry.Open(ctx, choice)
	if err != nil {
		return nil, fmt.Errorf("open driver again: %w", err)
	}
	s.driver.set(d)
	return d, nil
}

func (s *Store) openSubstores() error {
	r, name := s.roots, s.driver.name
	var err error
	s.layers, err = layer.Open(s.layerOptions())
	if err != nil {
		return err
	}
	s.images, err = image.Open(image.Options{
		Dirs:       r.writableImageDirs(name),
		Additional: each(r.additional, name, imagesDir),
		RunDir:     imagesDir(r.run, name),
		BackupDir:  r.backupDir(),
		Reserve:    s.reserve,
		Logger:     s.log,
	})
	if err != nil {
		return err
	}
	s.containers, err = container.Open(container.Options{
		Dir:       containersDir(r.graph, name),
		RunDir:    containersDir(r.run, name),
		Transient: s.opts.Transient,
		BackupDir: r.backupDir(),
		Reserve:   s.reserve,
		Logger:    s.log,
	})
	if err != nil {
		return err
	}
	return s.openChains()
}

func (s *Store) layerOptions() layer.Options {
	r, name := s.roots, s.driver.name
	opts := layer.Options{
		Driver:      s.driver.get(),
		Renew:       s.renewDriver,
		GraphDir:    layersDir(r.graph, name),
		RunDir:      layersDir(r.run, name),
		Additional:  each(r.additional, name, layersDir),
		BackupDir:   r.backupDir(),
		Reserve:     s.reserve,
		StorageLock: s.storage,
		Sync:        s.opts.Sync,
		Limits:      s.opts.Limits,
		MinFree:     s.opts.MinFree,
		Logger:      s.log,
	}
	if r.image != "" {
		opts.ImageDir = layersDir(r.image, name)
	}
	if s.opts.Transient {
		opts.VolatileDir = opts.RunDir
	}
	return opts
}

// Close ends the use of the store. Nothing is unmounted: mounts and their counts
// outlive the process. References to layers end. A second call does nothing; other
// methods give ErrClosed.
func (s *Store) Close(context.Context) error {
	s.closed.Store(true)
	if err := s.reserve.Restore(); err != nil {
		s.log.Debug("no reserve for deleting on a full disk", "error", err)
	}
	return s.chains.Close()
}

// GraphRoot returns the directory that lasts, absolute.
func (s *Store) GraphRoot() string { return s.roots.graph }

// RunRoot returns the directory that goes away with a reboot, absolute.
func (s *Store) RunRoot() string { return s.roots.run }

// ImageStore returns the separate image store's directory, absolute; "" for none.
func (s *Store) ImageStore() string { return s.roots.image }

// DriverName returns the driver's registered name.
func (s *Store) DriverName() string { return s.driver.name }

// DriverReason says in a sentence why this driver was chosen.
func (s *Store) DriverReason() string { return s.driver.reason }

// DriverOptions returns the driver options as they were given.
func (s *Store) DriverOptions() []string { return slices.Clone(s.opts.DriverOptions) }

// Driver returns the driver's handle. Its layers belong to the store: a program
// that changes them by itself holds the layer store's transaction meanwhile.
func (s *Store) Driver() graphdriver.Driver { return s.driver.get() }

// Substores returns the stores of the three kinds.
func (s *Store) Substores() Substores {
	return Substores{Layers: s.layers, Chains: s.chains, Images: s.images, Containers: s.containers}
}
