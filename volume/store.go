package volume

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of Options.
const (
	DefaultDriverTimeout = 10 * time.Second
	DefaultLockTimeout   = time.Second
)

// Options of a store.
type Options struct {
	// Path is the metadata database, made if it is missing, with its directory; "" keeps
	// everything in memory.
	Path string
	// Drivers are the drivers; nil is a registry without any.
	Drivers *Registry
	// Driver is the driver of volumes that name none; "" is DefaultDriver.
	Driver string
	// DriverTimeout limits each question to a driver when listing and when opening; 0 is
	// DefaultDriverTimeout.
	DriverTimeout time.Duration
	// LockTimeout is how long Open waits for another process to close the database; 0 is
	// DefaultLockTimeout.
	LockTimeout time.Duration
	// Holders tells Open who uses which volume, by name, so that nothing in use can be
	// removed before its users have announced themselves. nil: only what is recorded counts.
	Holders func(ctx context.Context) (map[string][]Holder, error)
	// LookOnly leaves mounts that were cut short to who opens the store to change something.
	// A database on a file system that is read-only can then be opened, and stays as it is.
	LookOnly bool
	// FoldCase makes names that differ in letter case only the same name.
	FoldCase bool
	// Logger gets what is noteworthy and no error; nil: nothing is logged.
	Logger *slog.Logger
}

// Store is a set of volumes. It is safe for concurrent use. Its database belongs to one
// process at a time.
type Store struct {
	opts    Options
	drivers *Registry
	log     *slog.Logger
	boot    string
	meta    *metadata
	names   nameLocks
	pruning atomic.Bool

	// mu is held for moments only: no driver is called and nothing is written under it.
	// It is taken after the lock of a name.
	mu      sync.RWMutex
	entries map[string]*entry
	closed  bool
}

// Open opens the store and asks the drivers about all volumes that it knows, some at a
// time. A volume whose driver does not answer stays, with its name taken; one that the
// driver says is gone is forgotten. Recorded holders that are over are dropped. The caller
// closes the store. A store that another process has open is a *LockedError.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{opts: withDefaults(opts), entries: map[string]*entry{}}
	s.drivers, s.log = s.opts.Drivers, s.opts.Logger
	boot, err := BootID()
	if err != nil {
		s.log.Warn("holders of volumes can not be tied to this boot", "error", err)
	}
	s.boot = boot
	if s.meta, err = openMetadata(ctx, s.opts.Path, s.opts.LockTimeout, s.opts.LookOnly, s.log); err != nil {
		return nil, fail(OpOpen, "", err)
	}
	if err := s.restore(ctx); err != nil {
		return nil, fail(OpOpen, "", errors.Join(err, s.meta.close()))
	}
	return s, nil
}

func withDefaults(opts Options) Options {
	if opts.Drivers == nil {
		opts.Drivers = NewRegistry(RegistryOptions{})
	}
	if opts.Driver == "" {
		opts.Driver = DefaultDriver
	}
	if opts.DriverTimeout == 0 {
		opts.DriverTimeout = DefaultDriverTimeout
	}
	if opts.LockTimeout == 0 {
		opts.LockTimeout = DefaultLockTimeout
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return opts
}

// Close releases the drivers and the database. Volumes stay, and what is mounted stays
// mounted. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	entries := s.entries
	s.entries = map[string]*entry{}
	s.mu.Unlock()
	for _, e := range entries {
		if e.acquired {
			s.drivers.Release(e.Driver)
		}
	}
	return s.meta.close()
}

// key is the form of a name in locks, maps and database.
func (s *Store) key(name string) string {
	if s.opts.FoldCase {
		return strings.ToLower(name)
	}
	return name
}

// begin checks a name and takes its lock.
func (s *Store) begin(ctx context.Context, name string) (key string, unlock func(), err error) {
	if err := CheckName(name); err != nil {
		return "", nil, err
	}
	key = s.key(name)
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	if unlock, err = s.names.lock(ctx, key); err != nil {
		return "", nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		unlock()
		return "", nil, ErrClosed
	}
	return key, unlock, nil
}

// entry returns a copy of what is known of a name; ok is false for nothing.
func (s *Store) entry(key string) (e entry, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	known := s.entries[key]
	if known == nil {
		return entry{}, false
	}
	e = *known
	e.refs = maps.Clone(known.refs)
	return e, true
}

// set puts an entry into the map.
func (s *Store) set(key string, e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[key] = &e
}

// references are the IDs of a volume's holders, sorted.
func (s *Store) references(name string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if e := s.entries[s.key(name)]; e != nil {
		return slices.Sorted(maps.Keys(e.refs))
	}
	return nil
}

// forget drops a volume from the store: driver, metadata, map. It finishes even if the
// caller's context is over, for the data may be gone already. When the metadata can not be
// deleted the volume stays known, so that the next try can.
func (s *Store) forget(key string) error {
	e, ok := s.entry(key)
	if !ok {
		return s.meta.delete(key)
	}
	if err := s.meta.delete(key); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.entries, key)
	s.mu.Unlock()
	if e.acquired {
		s.drivers.Release(e.Driver)
	}
	return nil
}
