package layer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
)

// MountlessDiffer is the optional power of a driver to say whether it would have
// to mount something to compute a diff. A driver without it is taken to mount.
type MountlessDiffer interface {
	// DiffMounts reports whether Diff, Changes or DiffSize of id against parent
	// ("" for the empty tree) mount anything.
	DiffMounts(ctx context.Context, id, parent graphdriver.ID) (bool, error)
}

// comparison is what a driver is asked to compare.
type comparison struct {
	layer Layer
	// base is the zero Layer for the empty tree.
	base Layer
	opts graphdriver.DiffOptions
	pin  *pin
	heal healer
}

// do calls the driver, and once more if that found damage that could be mended.
func (c *comparison) do(ctx context.Context, call func(id, base graphdriver.ID) error) error {
	return c.heal.retry(ctx, c.layer.ID, func() error {
		return call(graphdriver.ID(c.layer.ID), graphdriver.ID(c.base.ID))
	})
}

// comparison looks up both sides; base "" is id's parent.
func (tx *ReadTx) comparison(id, base ID, opts DiffOptions) (*comparison, error) {
	l, err := tx.complete(id)
	if err != nil {
		return nil, err
	}
	c := &comparison{layer: l, pin: newPin(tx.store, l), heal: tx.heal}
	c.opts = graphdriver.DiffOptions{Mapping: l.Mapping(), MountLabel: l.MountLabel}
	if !opts.Mapping.Empty() {
		c.opts.Mapping = opts.Mapping
	}
	if base == "" {
		base = l.Parent
	}
	if base == "" || opts.Whole {
		return c, nil
	}
	if c.base, err = tx.complete(base); err != nil {
		return nil, err
	}
	c.opts.ParentMapping = c.base.Mapping()
	c.pin = newPin(tx.store, c.layer, c.base)
	return c, nil
}

// mounts asks the driver whether comparing mounts something.
func (c *comparison) mounts(ctx context.Context, d graphdriver.Driver) (mounts bool, err error) {
	m, ok := d.(MountlessDiffer)
	if !ok {
		return true, nil
	}
	err = c.do(ctx, func(id, base graphdriver.ID) (err error) {
		mounts, err = m.DiffMounts(ctx, id, base)
		return err
	})
	return mounts, err
}

// plan looks the two layers up and says how to compare them.
func (s *Store) plan(ctx context.Context, id, base ID, opts DiffOptions) (c *comparison, mounts bool, err error) {
	tx, err := s.View(ctx)
	if err != nil {
		return nil, false, err
	}
	defer closing(&err, tx)
	if c, err = tx.comparison(id, base, opts); err != nil {
		return nil, false, err
	}
	mounts, err = c.mounts(ctx, s.driver())
	c.heal = s.heal // the transaction ends here
	return c, mounts, err
}

// compare calls use with the two layers looked up. When the driver mounts nothing
// for it, no lock is held meanwhile, and afterwards it is made sure that both
// layers are still the same. Otherwise storage.lock and layers.lock are held, since
// nobody may mount or unmount the same layers then (on-disk format, 3.2).
func (s *Store) compare(ctx context.Context, id, base ID, opts DiffOptions, use func(*comparison) error) error {
	c, mounts, err := s.plan(ctx, id, base, opts)
	if err != nil {
		return err
	}
	if mounts {
		return s.compareLocked(ctx, id, base, opts, use)
	}
	if err := use(c); err != nil {
		return c.pin.explain(ctx, fmt.Errorf("compare layer %s: %w", id, err))
	}
	return c.pin.check(ctx)
}

func (s *Store) compareLocked(ctx context.Context, id, base ID, opts DiffOptions, use func(*comparison) error) (err error) {
	tx, err := s.viewForMounting(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	c, err := tx.comparison(id, base, opts)
	if err != nil {
		return err
	}
	if err := use(c); err != nil {
		return fmt.Errorf("compare layer %s: %w", id, err)
	}
	return nil
}

// openComputed is Diff for what has no exact tar.
func (s *Store) openComputed(ctx context.Context, id, base ID, opts DiffOptions) (io.ReadCloser, error) {
	c, mounts, err := s.plan(ctx, id, base, opts)
	if err != nil {
		return nil, err
	}
	packing := opts.Packing.of(&c.layer.Record)
	if mounts {
		file, err := s.spoolComputed(ctx, id, base, opts)
		if err != nil {
			return nil, err
		}
		return newDiffStream(ctx, packing, &copySource{file}), nil
	}
	tar, err := s.driverDiff(ctx, c)
	if err != nil {
		return nil, c.pin.explain(ctx, err)
	}
	return newDiffStream(ctx, packing, &verified{source: &copySource{tar}, pin: c.pin, id: id}), nil
}

func (s *Store) driverDiff(ctx context.Context, c *comparison) (io.ReadCloser, error) {
	var tar io.ReadCloser
	err := c.do(ctx, func(id, base graphdriver.ID) (err error) {
		tar, err = s.driver().Diff(ctx, id, base, c.opts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("diff of layer %s: %w", c.layer.ID, err)
	}
	return tar, nil
}

// spoolComputed writes the diff to a nameless file while the locks are held, so
// that its reader's slowness is nobody else's.
func (s *Store) spoolComputed(ctx context.Context, id, base ID, opts DiffOptions) (io.ReadCloser, error) {
	var file io.ReadCloser
	err := s.compareLocked(ctx, id, base, opts, func(c *comparison) error {
		tar, err := s.driverDiff(ctx, c)
		if err != nil {
			return err
		}
		f, err := spool(s.opts.GraphDir, &ctxReader{ctx, tar})
		if closeErr := tar.Close(); closeErr != nil || err != nil {
			return errors.Join(err, closeErr, closeFile(f))
		}
		file = f
		return nil
	})
	if err != nil && file != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, err
}

// Changes lists what id changed against base ("" its parent), sorted by path.
// Errors are those of Diff. Call it without any transaction.
func (s *Store) Changes(ctx context.Context, id, base ID, opts DiffOptions) (changes []archive.Change, err error) {
	err = s.compare(ctx, id, base, opts, func(c *comparison) error {
		return c.do(ctx, func(id, base graphdriver.ID) (err error) {
			changes, err = s.driver().Changes(ctx, id, base, c.opts)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return changes, nil
}

// DiffSize returns the bytes of regular files that id has and base ("" its
// parent) has not. Errors are those of Diff. Call it without any transaction.
func (s *Store) DiffSize(ctx context.Context, id, base ID, opts DiffOptions) (size int64, err error) {
	err = s.compare(ctx, id, base, opts, func(c *comparison) error {
		return c.do(ctx, func(id, base graphdriver.ID) (err error) {
			size, err = s.driver().DiffSize(ctx, id, base, c.opts)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return size, nil
}
