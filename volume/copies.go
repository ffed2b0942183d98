package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/stratastore/strata/errdefs"
)

// Cloner is a driver that can copy its volumes.
type Cloner interface {
	// Clone makes a new volume with the content of another. A name that is taken is an
	// ErrExists, a volume with users an ErrInUse. After an error there is no new volume.
	Clone(ctx context.Context, name, newName string) (Info, error)
}

// Snapshotter is a driver that can keep a volume as it is.
type Snapshotter interface {
	// Snapshot makes a new volume, which can only be read, with the content of another.
	// Errors are those of Cloner.
	Snapshot(ctx context.Context, name, newName string) (Info, error)
}

// Renamer is a driver that can give a volume another name.
type Renamer interface {
	// Rename is atomic. Errors are those of Cloner.
	Rename(ctx context.Context, name, newName string) error
}

// Filler is a driver whose volumes may start with content.
type Filler interface {
	// CreateFrom is Driver.Create of a volume that begins with a copy of what is in dir;
	// it appears complete or not at all.
	CreateFrom(ctx context.Context, name string, options map[string]string, dir string) (Info, error)
}

// errNoPower says that a driver can not do what is asked.
func errNoPower(d Driver, what string) error {
	return fmt.Errorf("volume driver %q can not %s volumes: %w", d.Name(), what, errdefs.ErrUnsupported)
}

// Driver returns the driver that keeps a volume, for what only that driver can do.
func (s *Store) Driver(ctx context.Context, name string) (Driver, error) {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return nil, fail(OpGet, name, err)
	}
	defer unlock()
	if _, err := s.get(ctx, key, name, ""); err != nil {
		return nil, fail(OpGet, name, err)
	}
	e, _ := s.entry(key)
	d, err := s.drivers.Lookup(ctx, e.Driver)
	return d, fail(OpGet, name, err)
}

// Clone makes a volume with the content, the labels and the driver of another. A volume
// with holders is an ErrInUse, for what is written meanwhile would be torn; a name that is
// taken, by any driver, an ErrExists; a driver that can not an errdefs.ErrUnsupported.
func (s *Store) Clone(ctx context.Context, name, newName string) (Volume, error) {
	return s.duplicate(ctx, OpClone, name, newName, func(d Driver) (Info, error) {
		if c, ok := d.(Cloner); ok {
			return c.Clone(ctx, name, newName)
		}
		return Info{}, errNoPower(d, "clone")
	})
}

// Snapshot is Clone of a volume that can only be read.
func (s *Store) Snapshot(ctx context.Context, name, newName string) (Volume, error) {
	return s.duplicate(ctx, OpSnapshot, name, newName, func(d Driver) (Info, error) {
		if c, ok := d.(Snapshotter); ok {
			return c.Snapshot(ctx, name, newName)
		}
		return Info{}, errdefs.WithHint(errNoPower(d, "take snapshots of its"), "strata volume clone makes a copy")
	})
}

func (s *Store) duplicate(ctx context.Context, op Op, name, newName string, do func(Driver) (Info, error)) (Volume, error) {
	p, err := s.beginTwo(ctx, op, name, newName)
	if err != nil {
		return Volume{}, err
	}
	defer p.unlock()
	e := p.successor(newName)
	e.CreatedAt = now()
	// As in Create, the record comes first.
	if err := s.meta.put(p.newKey, e.record, nil); err != nil {
		return Volume{}, fail(op, name, err)
	}
	info, err := do(p.driver)
	if err != nil {
		return Volume{}, fail(op, name, errors.Join(err, s.unmake(p.newKey)))
	}
	if err := s.know(context.WithoutCancel(ctx), p.newKey, e, info); err != nil {
		return Volume{}, fail(op, name, err)
	}
	known, _ := s.entry(p.newKey)
	return known.volume(info), nil
}

// Rename gives a volume another name; labels and options stay. Errors are those of Clone.
//
// The new name is recorded before the driver renames and the old one dropped after it. If
// the process dies in between, the next Open finds one of the two gone and forgets it.
func (s *Store) Rename(ctx context.Context, name, newName string) error {
	p, err := s.beginTwo(ctx, OpRename, name, newName)
	if err != nil {
		return err
	}
	defer p.unlock()
	r, ok := p.driver.(Renamer)
	if !ok {
		return fail(OpRename, name, errNoPower(p.driver, "rename"))
	}
	e := p.successor(newName)
	if err := s.meta.put(p.newKey, e.record, nil); err != nil {
		return fail(OpRename, name, err)
	}
	err = r.Rename(ctx, name, newName)
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		if _, missing := p.driver.Get(ctx, newName); missing != nil {
			return fail(OpRename, name, errors.Join(err, s.unmake(p.newKey)))
		}
		// It was renamed before something failed.
	}
	e.info.Name = newName
	if known := s.know(ctx, p.newKey, e, e.info); known != nil {
		return fail(OpRename, name, errors.Join(err, known))
	}
	return fail(OpRename, name, errors.Join(err, s.forget(p.key)))
}

// pair is a volume that nobody uses and a name that is free, both locked.
type pair struct {
	key, newKey string
	old         entry
	driver      Driver
	unlock      func()
}

// successor is the old volume's entry under the new name, which somebody chose.
func (p pair) successor(newName string) entry {
	e := p.old
	e.Name, e.acquired, e.refs = newName, false, map[string]reference{}
	e.Labels = maps.Clone(e.Labels)
	delete(e.Labels, AnonymousLabel)
	return e
}

// beginTwo locks both names, in the order of their keys, and checks them.
func (s *Store) beginTwo(ctx context.Context, op Op, name, newName string) (p pair, err error) {
	if err := CheckName(newName); err != nil {
		return p, fail(op, name, err)
	}
	first, second := name, newName
	switch a, b := s.key(name), s.key(newName); {
	case a == b:
		return p, fail(op, name, ErrExists)
	case b < a:
		first, second = newName, name
	}
	_, unlockFirst, err := s.begin(ctx, first)
	if err != nil {
		return p, fail(op, name, err)
	}
	_, unlockSecond, err := s.begin(ctx, second)
	if err != nil {
		unlockFirst()
		return p, fail(op, name, err)
	}
	p = pair{key: s.key(name), newKey: s.key(newName), unlock: func() { unlockSecond(); unlockFirst() }}
	if err = s.checkTwo(ctx, op, &p, name, newName); err != nil {
		p.unlock()
	}
	return p, err
}

func (s *Store) checkTwo(ctx context.Context, op Op, p *pair, name, newName string) error {
	if _, err := s.get(ctx, p.key, name, ""); err != nil {
		return fail(op, name, err)
	}
	if err := s.forgetUnlessUsed(ctx, p.key); err != nil {
		return fail(op, name, err)
	}
	if refs := s.references(name); len(refs) > 0 {
		return fail(op, name, ErrInUse, refs...)
	}
	p.old, _ = s.entry(p.key)
	if _, err := s.get(ctx, p.newKey, newName, ""); err == nil {
		return fail(op, name, fmt.Errorf("%s: %w", newName, ErrExists))
	} else if !errors.Is(err, ErrNoSuchVolume) {
		return fail(op, name, fmt.Errorf("%s: %w", newName, err))
	}
	d, err := s.drivers.Lookup(ctx, p.old.Driver)
	p.driver = d
	return fail(op, name, err)
}
