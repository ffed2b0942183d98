package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
	"github.com/stratastore/strata/internal/tempdir"
	"github.com/stratastore/strata/lockfile"
)

// Store is the layers of one store. It is safe for concurrent use. It holds no
// lock and no open file between calls, so there is nothing to close.
type Store struct {
	opts    Options
	current driverHolder
	main    *part
	extra   []*part // the additional stores
	mounts  *recordfile.Store[mountRecord]
	gets    getCount
	chains  chainCache
	swept   sync.Once
	after   deferred
}

// Open prepares a store and makes its directories (0700) where they are missing.
// Records are read by the first transaction.
func Open(opts Options) (*Store, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	for _, dir := range []string{opts.GraphDir, opts.RunDir, opts.ImageDir, opts.VolatileDir} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open layer store: %w", err)
		}
	}
	s := &Store{opts: opts, mounts: openMounts(opts.RunDir, opts)}
	s.current.driver = opts.Driver
	s.main = s.mainPart()
	for _, dir := range opts.Additional {
		s.extra = append(s.extra, extraPart(dir, opts))
	}
	return s, nil
}

// durable reports whether what is written has to outlive a power cut.
func (s *Store) durable() bool { return s.opts.Sync != graphdriver.SyncNone }

// exactDriver reports whether the driver gives layers back as they came, so that
// no tar-split is needed.
func (s *Store) exactDriver() bool {
	c, ok := s.driver().(graphdriver.Capable)
	return ok && c.Capabilities().ReproducesExactDiffs
}

// driver returns the driver of the moment.
func (s *Store) driver() graphdriver.Driver { return s.current.get() }

// driverHolder guards the driver, which storage.lock's token can make stale.
type driverHolder struct {
	mu     sync.Mutex
	driver graphdriver.Driver
	token  lockfile.Token
	seen   bool // token holds a value
}

func (h *driverHolder) get() graphdriver.Driver {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.driver
}

// renew replaces the driver when storage.lock, which the caller holds, has
// another token than at the last look (on-disk format, 3.5). make may be nil.
func (h *driverHolder) renew(ctx context.Context, held *lockfile.Held, make func(context.Context) (graphdriver.Driver, error)) error {
	token, err := held.Token()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen && token != h.token && make != nil {
		driver, err := make(ctx)
		if err != nil {
			return fmt.Errorf("set up driver after a shutdown: %w", err)
		}
		h.driver = driver
	}
	h.token, h.seen = token, true
	return nil
}

// sweep removes what killed processes left in the temp root: once per Store, and
// without any lock, since each temp directory has its own.
func (s *Store) sweep(ctx context.Context) {
	s.swept.Do(func() {
		if err := tempdir.Recover(ctx, s.tempRoot()); err != nil {
			s.opts.Logger.WarnContext(ctx, "leftovers of killed processes stay", "error", err)
		}
	})
}

// syncContent flushes the file systems that hold layers' content.
func (s *Store) syncContent() error {
	if !s.durable() {
		return nil
	}
	for _, dir := range []string{s.opts.GraphDir, s.opts.ImageDir} {
		if dir == "" {
			continue
		}
		if err := syncFilesystem(dir); err != nil {
			return err
		}
	}
	return nil
}

func syncFilesystem(dir string) error {
	if err := faults.Hit("layer.syncfs", dir); err != nil {
		return fmt.Errorf("sync file system of %s: %w", dir, err)
	}
	return atomicfile.SyncFilesystem(dir)
}

// deferred holds clean-up that has to wait until no lock is held.
type deferred struct {
	mu    sync.Mutex
	funcs []func() error
}

// later runs f when the current transaction has ended.
func (s *Store) later(f func() error) {
	s.after.mu.Lock()
	defer s.after.mu.Unlock()
	s.after.funcs = append(s.after.funcs, f)
}

// runDeferred runs what has gathered. Failures only cost disk until the next sweep.
func (s *Store) runDeferred() {
	s.after.mu.Lock()
	funcs := s.after.funcs
	s.after.funcs = nil
	s.after.mu.Unlock()
	for _, f := range funcs {
		if err := f(); err != nil {
			s.opts.Logger.Warn("leftovers stay", "error", err)
		}
	}
}

// closing closes c at the end of a function and joins its error to the function's.
func closing(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }
