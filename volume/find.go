package volume

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Found is what Find returns.
type Found struct {
	// Volumes are sorted by name.
	Volumes []Volume
	// Warnings name the drivers that failed, sorted, and each driver's volumes that it has but can
	// not describe. What the store knows of them is among Volumes.
	Warnings []*Error
}

// Find lists the volumes that a filter chooses. The drivers that can matter are asked at
// the same time, each for Options.DriverTimeout at most; one that fails gives a warning,
// and its volumes as the store knows them. So is a known volume that its driver does not list, and
// can not tell about either.
//
// A name that several drivers have belongs to the driver that the store knows as its owner,
// else to the first in order, DefaultDriver first.
func (s *Store) Find(ctx context.Context, f Filter) (Found, error) {
	if err := ctx.Err(); err != nil {
		return Found{}, fail(OpList, "", err)
	}
	lists := s.askAll(ctx, s.relevant(ctx, f))
	if err := ctx.Err(); err != nil {
		return Found{}, fail(OpList, "", err)
	}
	var found Found
	for _, l := range lists {
		if l.err != nil {
			found.Warnings = append(found.Warnings, &Error{Op: OpList, Name: l.driver, Err: l.err})
		}
		for _, key := range slices.Sorted(maps.Keys(l.doubtful)) {
			found.Warnings = append(found.Warnings, &Error{Op: OpList, Name: key, Err: l.doubtful[key]})
		}
	}
	for _, v := range s.merge(lists) {
		if f.Match(v) {
			found.Volumes = append(found.Volumes, v)
		}
	}
	slices.SortFunc(found.Volumes, func(a, b Volume) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// relevant are the drivers whose volumes can pass the filter, in order: those that exist,
// and those that known volumes name, though they may be gone.
func (s *Store) relevant(ctx context.Context, f Filter) []string {
	names, err := s.drivers.Names(ctx)
	if err != nil {
		s.log.Warn("not all volume plugins can be listed", "error", err)
	}
	s.mu.RLock()
	for _, e := range s.entries {
		if e.Driver != "" {
			names = append(names, e.Driver)
		}
	}
	s.mu.RUnlock()
	if f.drivers != nil {
		names = slices.DeleteFunc(names, func(name string) bool { return !f.drivers[CanonicalDriver(name)] })
	}
	return driverOrder(names)
}

// driverList is a driver's answer.
type driverList struct {
	driver string
	scope  Scope
	infos  []Info
	err    error
	// doubtful are known volumes, by their keys, that the driver neither lists nor says to be gone.
	doubtful map[string]error
}

func (s *Store) askAll(ctx context.Context, drivers []string) []driverList {
	lists := make([]driverList, len(drivers))
	var all sync.WaitGroup
	for i, name := range drivers {
		all.Go(func() { lists[i] = s.askList(ctx, name) })
	}
	all.Wait()
	return lists
}

// askList returns at the time limit even if the driver does not.
func (s *Store) askList(ctx context.Context, driver string) driverList {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.DriverTimeout, NoAnswer(s.opts.DriverTimeout))
	defer cancel()
	answer := make(chan driverList, 1)
	go func() {
		l := driverList{driver: driver}
		var d Driver
		if d, l.err = s.drivers.Lookup(ctx, driver); l.err == nil {
			if l.infos, l.err = d.List(ctx); l.err == nil {
				l.scope = d.Scope(ctx)
				l.doubtful = s.doubtful(ctx, d, l)
			}
		}
		answer <- l
	}()
	select {
	case l := <-answer:
		return l
	case <-ctx.Done():
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		return driverList{driver: driver, err: err}
	}
}

// doubtful asks a driver about the volumes that it is known to have and did not list: one that is
// damaged must not look as if it were gone.
func (s *Store) doubtful(ctx context.Context, d Driver, l driverList) map[string]error {
	missing := map[string]string{}
	s.mu.RLock()
	for key, e := range s.entries {
		if CanonicalDriver(e.Driver) == l.driver {
			missing[key] = e.Name
		}
	}
	s.mu.RUnlock()
	for _, info := range l.infos {
		delete(missing, s.key(info.Name))
	}
	doubtful := map[string]error{}
	for key, name := range missing {
		if _, err := d.Get(ctx, name); classify(err) == unknown {
			doubtful[key] = err
		}
	}
	return doubtful
}

// merge makes one list without duplicates: owners first, then drivers in order.
func (s *Store) merge(lists []driverList) []Volume {
	s.mu.RLock()
	defer s.mu.RUnlock()
	taken := map[string]string{}
	for key, e := range s.entries {
		if e.Driver != "" {
			taken[key] = CanonicalDriver(e.Driver)
		}
	}
	var all []Volume
	for _, l := range lists {
		if l.err != nil {
			all = append(all, s.remembered(l.driver)...)
			continue
		}
		seen := map[string]bool{}
		for _, info := range l.infos {
			key := s.key(info.Name)
			if owner, ok := taken[key]; ok && owner != l.driver || seen[key] {
				s.log.Info("volume of the same name is left out", "volume", info.Name, "driver", l.driver, "owner", taken[key])
				continue
			}
			seen[key], taken[key] = true, l.driver
			if e := s.entries[key]; e != nil && e.Driver != "" {
				all = append(all, e.volume(info))
			} else {
				all = append(all, s.unowned(l, info))
			}
		}
		for key := range l.doubtful {
			if e := s.entries[key]; e != nil && !seen[key] {
				all = append(all, e.volume(e.info))
			}
		}
	}
	return all
}

// unowned is a volume without metadata; it may have holders that were announced.
func (s *Store) unowned(l driverList, info Info) Volume {
	v := foreign(l.driver, l.scope, info)
	if e := s.entries[s.key(info.Name)]; e != nil {
		v.References = e.volume(info).References
	}
	return v
}

// remembered are the known volumes of a driver that does not answer.
func (s *Store) remembered(driver string) []Volume {
	var all []Volume
	for _, e := range s.entries {
		if CanonicalDriver(e.Driver) == driver {
			all = append(all, e.volume(e.info))
		}
	}
	return all
}
