package volume

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// restoreWorkers is how many volumes are asked for at a time when a store is opened.
const restoreWorkers = 8

// restore reads the database and asks each volume's driver.
func (s *Store) restore(ctx context.Context) error {
	all, err := s.meta.load()
	if err != nil {
		return err
	}
	for _, one := range all {
		s.reserve(one)
	}
	if err := s.announce(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(restoreWorkers)
	for _, one := range all {
		group.Go(func() error { return s.restoreOne(ctx, one.key) })
	}
	return group.Wait()
}

// reserve makes a name known before any driver was asked, and keeps it so if the driver
// never answers. Unreadable names from old data are kept as they are.
func (s *Store) reserve(one saved) {
	e := entry{record: one.rec, refs: map[string]reference{}}
	if e.Name == "" {
		e.Name = one.key
	}
	e.info.Name = e.Name
	for _, ref := range one.refs {
		e.refs[ref.ID] = ref
	}
	s.set(one.key, e)
}

// announce adds the holders that the caller of Open knows of.
func (s *Store) announce(ctx context.Context) error {
	if s.opts.Holders == nil {
		return nil
	}
	holders, err := s.opts.Holders(ctx)
	if err != nil {
		return fmt.Errorf("find the users of volumes: %w", err)
	}
	for name, list := range holders {
		key := s.key(name)
		e, ok := s.entry(key)
		if !ok {
			e = entry{record: record{Name: name}, refs: map[string]reference{}}
			e.info.Name = name
		}
		for _, h := range list {
			ref := e.refs[h.ID]
			ref.Holder, ref.Kept = h, true
			e.refs[h.ID] = ref
		}
		s.set(key, e)
	}
	return nil
}

// restoreOne asks for one volume. Only a dead context and a database that can not be
// written are errors.
func (s *Store) restoreOne(ctx context.Context, key string) error {
	e, _ := s.entry(key)
	asking, cancel := context.WithTimeoutCause(ctx, s.opts.DriverTimeout, NoAnswer(s.opts.DriverTimeout))
	defer cancel()
	if e.Driver == "" {
		found, _, err := s.search(asking, e.Name)
		if err != nil {
			s.log.Warn("volume without a driver is kept", "volume", e.Name, "error", err)
			return ctx.Err()
		}
		e.Driver = found
		s.set(key, e)
		if err := s.meta.put(key, e.record, e.refs); err != nil {
			return err
		}
	}
	info, err := s.ask(asking, e.Driver, e.Name)
	if ctx.Err() != nil {
		return ctx.Err() // whoever gives up needs no word about each volume
	}
	switch classify(err) {
	case gone:
		s.log.Info("volume is gone from its driver", "volume", e.Name, "driver", e.Driver)
		return s.forgetUnheld(key, e)
	case unknown:
		s.log.Warn("volume is kept without its driver's word", "volume", e.Name, "driver", e.Driver, "error", err)
		return ctx.Err()
	}
	if err := s.know(asking, key, e, info); err != nil {
		return ctx.Err()
	}
	return s.restoreMounts(asking, key)
}

// restoreMounts gives the driver its users back, and takes back the mounts of those who
// are over.
func (s *Store) restoreMounts(ctx context.Context, key string) error {
	e, _ := s.entry(key)
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		s.log.Warn("mounts of a volume are not restored", "volume", e.Name, "error", err)
		return ctx.Err()
	}
	for id, ref := range e.refs {
		if r, ok := d.(Restorer); ok && ref.Mounts > 0 && s.ofThisBoot(ref) {
			if err := r.Restore(ctx, e.Name, id, ref.Mounts); err != nil {
				s.log.Warn("mount of a volume is not restored", "volume", e.Name, "holder", id, "error", err)
			}
		}
	}
	if !s.opts.LookOnly {
		if err := s.settle(ctx, key, e, d); err != nil {
			return err
		}
	}
	return s.dropDead(ctx, key, d)
}

func (s *Store) ofThisBoot(ref reference) bool { return ref.Boot == "" || ref.Boot == s.boot }

// settle ends what a process that died had the driver do: a mount is taken back, an unmount
// is finished. What the driver can not do now stays for the next Open.
func (s *Store) settle(ctx context.Context, key string, e entry, d Driver) error {
	for id, ref := range e.refs {
		if !ref.Busy || !s.ofThisBoot(ref) {
			continue
		}
		left := ref.Mounts
		if settler, ok := d.(Settler); !ok {
			left++ // a mount too many is taken back by its holder, one too few by nobody
		} else if err := settler.Settle(ctx, e.Name, id, left); err != nil {
			s.log.Warn("mount that was cut short is not taken back", "volume", e.Name, "holder", id, "error", err)
			continue
		}
		if err := s.setMounts(key, ref.Holder, left, false); err != nil {
			return err
		}
	}
	return nil
}
