package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
)

// spoolFile makes a file in dir that no name leads to, so that it goes with its
// last descriptor however the process ends.
func spoolFile(dir string) (*os.File, error) {
	if err := faults.Hit("layer.spool", dir); err != nil {
		return nil, fmt.Errorf("create spool file: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	// Some file systems can not: a name for a moment will do.
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, fmt.Errorf("create spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// spool copies r into a nameless file in dir and rewinds it. Nothing stays behind
// after an error.
func spool(dir string, r io.Reader) (*os.File, error) {
	f, err := spoolFile(dir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, r); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// spooled is staged content for drivers that can not stage: the checked,
// uncompressed tar, which adopt unpacks under the lock.
type spooled struct {
	store  *Store
	dir    string
	parent graphdriver.ID
	create graphdriver.CreateOptions
	opts   graphdriver.ApplyOptions
	tar    *os.File // nil for a layer without content, and after discard
}

func (s *spooled) apply(_ context.Context, diff io.Reader) error {
	f, err := spool(s.dir, diff)
	s.tar = f
	return err
}

// sync has nothing to do: adopt syncs what it unpacks.
func (s *spooled) sync(context.Context) error { return nil }

// adopt makes and fills the layer; after an error the driver's layer is gone again.
func (s *spooled) adopt(ctx context.Context, id ID) error {
	driver, did := s.store.driver(), graphdriver.ID(id)
	if err := driver.Create(ctx, did, s.parent, s.create); err != nil {
		return err
	}
	var err error
	if s.tar != nil {
		_, err = driver.ApplyDiff(ctx, did, s.parent, s.tar, s.opts)
	}
	if err == nil {
		err = s.store.syncContent()
	}
	if err != nil {
		return errors.Join(err, driver.Remove(context.WithoutCancel(ctx), did))
	}
	return nil
}

func (s *spooled) discard() error {
	if s.tar == nil {
		return nil
	}
	err := s.tar.Close()
	s.tar = nil
	return err
}
