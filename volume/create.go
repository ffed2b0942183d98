package volume

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// CreateOptions of Create. The maps are copied.
type CreateOptions struct {
	// Driver makes the volume; "" is the store's default driver, unless a driver has a
	// volume of that name already.
	Driver string
	// Options are for the driver, Labels for the store.
	Options, Labels map[string]string
	// Holder becomes a holder of the volume, unless its ID is "", so that a prune can not
	// remove it before its first use.
	Holder Holder
	// From is a directory whose content the new volume begins with; the driver must be a
	// Filler. "" makes an empty volume.
	From string
	// FailIfExists makes a volume that is there already an ErrExists.
	FailIfExists bool
}

// Created is what Create returns.
type Created struct {
	Volume
	// Existed is set when the volume was there before; options and labels were then ignored.
	Existed bool
	// Warnings are for the person who asked.
	Warnings []string
}

// Create makes a volume, or returns the one of that name. An empty name makes one up, and
// labels the volume AnonymousLabel. A name that another driver owns, or may own, is an
// ErrNameConflict. When an error is returned, what this call made is gone again.
func (s *Store) Create(ctx context.Context, name string, opts CreateOptions) (Created, error) {
	opts.Labels, opts.Options = maps.Clone(opts.Labels), maps.Clone(opts.Options)
	if name == "" {
		name = NewName()
		if opts.Labels == nil {
			opts.Labels = map[string]string{}
		}
		opts.Labels[AnonymousLabel] = ""
	}
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return Created{}, fail(OpCreate, name, err)
	}
	defer unlock()
	made, err := s.create(ctx, key, name, opts)
	return made, fail(OpCreate, name, err)
}

func (s *Store) create(ctx context.Context, key, name string, opts CreateOptions) (Created, error) {
	made, err := s.existing(ctx, key, name, opts)
	if err == nil && !made.Existed {
		made, err = s.make(ctx, key, name, opts)
	}
	if err != nil {
		return Created{}, err
	}
	if made.Existed {
		if opts.FailIfExists {
			return Created{}, ErrExists
		}
		made.Warnings = append(made.Warnings, ignored(made.Volume, opts)...)
	}
	if err := s.hold(key, opts.Holder, true); err != nil {
		return Created{}, err
	}
	made.References = s.references(name)
	return made, nil
}

// existing is the conflict check: it returns a volume that is there and may be used, and
// forgets one that is stale. Existed is false when there is none.
func (s *Store) existing(ctx context.Context, key, name string, opts CreateOptions) (Created, error) {
	e, known := s.entry(key)
	if !known || e.Driver == "" {
		return s.elsewhere(ctx, key, name, opts)
	}
	if opts.Driver != "" {
		if _, err := s.drivers.Lookup(ctx, opts.Driver); err != nil {
			return Created{}, err
		}
	}
	info, err := s.ask(ctx, e.Driver, e.Name)
	switch classify(err) {
	case unknown:
		return Created{}, &conflict{cause: err, text: fmt.Sprintf("driver '%s' may have volume '%s', but does not answer: %v: %v", e.Driver, e.Name, err, ErrNameConflict)}
	case gone:
		return Created{}, s.dropStale(key, e)
	}
	if opts.Driver != "" && CanonicalDriver(opts.Driver) != CanonicalDriver(e.Driver) {
		return Created{}, owned(e)
	}
	if err := s.know(ctx, key, e, info); err != nil {
		return Created{}, err
	}
	return Created{Volume: e.volume(info), Existed: true}, nil
}

// dropStale forgets a volume that its driver does not have any more, unless it has holders.
func (s *Store) dropStale(key string, e entry) error {
	e.refs = s.living(e.refs)
	if len(e.refs) > 0 {
		return &conflict{text: fmt.Sprintf(
			"volume '%s' is gone from driver '%s' but has users: they have to go, or the volume must be removed by force: %v", e.Name, e.Driver, ErrNameConflict)}
	}
	return s.forget(key)
}

// elsewhere looks in all drivers for a name that the store does not know, when no driver is
// wanted.
func (s *Store) elsewhere(ctx context.Context, key, name string, opts CreateOptions) (Created, error) {
	if opts.Driver != "" {
		return Created{}, nil
	}
	info, err := s.get(ctx, key, name, "")
	if errors.Is(err, ErrNoSuchVolume) {
		return Created{}, nil
	}
	if err != nil {
		return Created{}, err
	}
	e, _ := s.entry(key)
	return Created{Volume: e.volume(info), Existed: true}, nil
}

// make asks the driver for a new volume and records it, or takes over the one that the
// driver has.
func (s *Store) make(ctx context.Context, key, name string, opts CreateOptions) (made Created, err error) {
	if opts.Driver == "" {
		opts.Driver = s.opts.Driver
	}
	d, err := s.drivers.Acquire(ctx, opts.Driver)
	if err != nil {
		return Created{}, err
	}
	defer func() {
		if err != nil {
			s.drivers.Release(d.Name())
		}
	}()
	e, known := s.entry(key)
	if !known {
		e.refs = map[string]reference{}
	}
	e.record = record{Name: name, Driver: CanonicalDriver(d.Name()), Labels: opts.Labels, Options: opts.Options, CreatedAt: now(), Scope: d.Scope(ctx)}
	// Whatever the error is: plugins have all kinds of words for "not there", and Create
	// will tell what is really wrong.
	info, err := d.Get(ctx, name)
	adopted := err == nil
	if adopted {
		e.Options, e.CreatedAt = nil, info.CreatedAt // nobody knows what it was made with
	} else if err := ctx.Err(); err != nil {
		return Created{}, err
	}
	// The record comes first: if this process dies, the next Open finds a volume with its
	// labels, or forgets the record of one that was not made.
	if err := s.meta.put(key, e.record, e.refs); err != nil {
		return Created{}, err
	}
	if !adopted {
		if info, err = driverCreate(ctx, d, name, opts); err != nil {
			return Created{}, errors.Join(err, s.unmake(key))
		}
	}
	e.acquired, e.info = true, info
	s.set(key, e)
	made = Created{Volume: e.volume(info)}
	if adopted {
		made.Existed = true
		made.Warnings = []string{fmt.Sprintf("driver %q has volume %q already: it was taken over as it is", e.Driver, name)}
	}
	return made, nil
}

// unmake takes back the record of a volume that was not made.
func (s *Store) unmake(key string) error {
	if old, known := s.entry(key); known { // a name without a driver
		return s.meta.put(key, old.record, old.refs)
	}
	return s.meta.delete(key)
}

func driverCreate(ctx context.Context, d Driver, name string, opts CreateOptions) (Info, error) {
	if opts.From == "" {
		return d.Create(ctx, name, maps.Clone(opts.Options))
	}
	f, ok := d.(Filler)
	if !ok {
		return Info{}, errNoPower(d, "fill")
	}
	return f.CreateFrom(ctx, name, maps.Clone(opts.Options), opts.From)
}

// ignored says what of the options had no effect on a volume that was there.
func ignored(v Volume, opts CreateOptions) []string {
	var warnings []string
	if len(opts.Options) > 0 && !maps.Equal(opts.Options, v.Options) {
		warnings = append(warnings, fmt.Sprintf("volume %q exists: its options differ and stay as they are", v.Name))
	}
	if len(opts.Labels) > 0 && !maps.Equal(opts.Labels, v.Labels) {
		warnings = append(warnings, fmt.Sprintf("volume %q exists: its labels differ and stay as they are", v.Name))
	}
	return warnings
}
