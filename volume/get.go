package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratastore/strata/errdefs"
)

// GetOptions of Get.
type GetOptions struct {
	// Driver is the driver that the volume must be of; "" for any.
	Driver string
	// Holder becomes a holder of the volume, unless its ID is "".
	Holder Holder
}

// Get describes a volume. A volume that the store does not know yet is looked for in the
// wanted driver, or in all of them, DefaultDriver first, and known from then on. A volume
// that its driver says is gone is forgotten: ErrNoSuchVolume.
func (s *Store) Get(ctx context.Context, name string, opts GetOptions) (Volume, error) {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return Volume{}, fail(OpGet, name, err)
	}
	defer unlock()
	info, err := s.get(ctx, key, name, opts.Driver)
	if err == nil {
		err = s.hold(key, opts.Holder, true)
	}
	if err != nil {
		return Volume{}, fail(OpGet, name, err)
	}
	e, _ := s.entry(key)
	return e.volume(info), nil
}

// get finds a volume and makes it known. The name is locked.
func (s *Store) get(ctx context.Context, key, name, driver string) (Info, error) {
	e, known := s.entry(key)
	if known && e.Driver != "" {
		return s.getKnown(ctx, key, e, driver)
	}
	var info Info
	var err error
	if driver != "" {
		info, err = s.ask(ctx, driver, name)
		if err != nil && classify(err) == gone {
			err = ErrNoSuchVolume
		}
	} else {
		driver, info, err = s.search(ctx, name)
	}
	if err != nil {
		return Info{}, err
	}
	if !known {
		e = entry{record: record{Name: name, CreatedAt: info.CreatedAt}, refs: map[string]reference{}}
	}
	e.Driver = driver
	if err := s.meta.put(key, e.record, e.refs); err != nil {
		return Info{}, err
	}
	return info, s.know(ctx, key, e, info)
}

// getKnown asks the owner of a known volume.
func (s *Store) getKnown(ctx context.Context, key string, e entry, wanted string) (Info, error) {
	if wanted != "" && CanonicalDriver(wanted) != CanonicalDriver(e.Driver) {
		return Info{}, owned(e)
	}
	info, err := s.ask(ctx, e.Driver, e.Name)
	switch classify(err) {
	case gone:
		if err := s.forgetUnheld(key, e); err != nil {
			return Info{}, fmt.Errorf("%w; %w", ErrNoSuchVolume, err)
		}
		return Info{}, ErrNoSuchVolume
	case unknown:
		return Info{}, fmt.Errorf("error while checking if volume %q exists in driver %q: %w", e.Name, e.Driver, err)
	}
	return info, s.know(ctx, key, e, info)
}

// forgetUnheld forgets a volume that its driver does not have any more. While it has holders
// the name stays theirs.
func (s *Store) forgetUnheld(key string, e entry) error {
	if len(s.living(e.refs)) > 0 {
		return nil
	}
	return s.forget(key)
}

func owned(e entry) error {
	return fmt.Errorf("driver '%s' already has volume '%s': %w", e.Driver, e.Name, ErrNameConflict)
}

// ask is the driver's word on one volume. A driver that has a volume of another name than
// the one asked for is told apart by nobody; its answer counts.
func (s *Store) ask(ctx context.Context, driver, name string) (Info, error) {
	d, err := s.drivers.Lookup(ctx, driver)
	if err != nil {
		return Info{}, err
	}
	return d.Get(ctx, name)
}

// search asks all drivers in order; the first that has the volume wins. Drivers that fail
// are skipped, for a dead one must not hide the volumes of the others.
func (s *Store) search(ctx context.Context, name string) (driver string, info Info, err error) {
	names, err := s.drivers.Names(ctx)
	if err != nil {
		s.log.Warn("not all volume plugins can be listed", "error", err)
	}
	for _, driver := range names {
		if err := ctx.Err(); err != nil {
			return "", Info{}, err
		}
		info, err := s.ask(ctx, driver, name)
		if err == nil {
			return driver, info, nil
		}
		if classify(err) == unknown && !errors.Is(err, errdefs.ErrInvalid) { // a driver whose rules the name breaks has none
			s.log.Warn("driver is skipped in the search for a volume", "driver", driver, "volume", name, "error", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return "", Info{}, err
	}
	return "", Info{}, ErrNoSuchVolume
}

// know enters what the driver said, acquiring the driver once for each known volume.
func (s *Store) know(ctx context.Context, key string, e entry, info Info) error {
	if !e.acquired {
		d, err := s.drivers.Acquire(ctx, e.Driver)
		if err != nil {
			return err
		}
		e.acquired, e.Driver = true, CanonicalDriver(d.Name())
		if e.Scope == "" {
			e.Scope = d.Scope(ctx)
		}
	}
	e.info = info
	s.set(key, e)
	return nil
}

// now is when a volume is created, in the precision that the database keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
