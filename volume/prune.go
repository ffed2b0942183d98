package volume

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// PruneOptions of Prune.
type PruneOptions struct {
	// All takes volumes with names that somebody chose too; else only anonymous ones go.
	All bool
	// Filter narrows what is removed.
	Filter Filter
}

// Pruned is what Prune did.
type Pruned struct {
	// Removed are the names, sorted.
	Removed []string
	// Freed is the size of their data, in bytes.
	Freed int64
	// Failed are those that could not be removed, in the order of their names.
	Failed []*Error
}

// Prune removes the volumes of DefaultDriver that have no holders and were made without
// options. Only one runs at a time: ErrPruneRunning. A context that is cancelled ends it
// with what was done so far and no error, one whose deadline passed with the error.
func (s *Store) Prune(ctx context.Context, opts PruneOptions) (Pruned, error) {
	if !s.pruning.CompareAndSwap(false, true) {
		return Pruned{}, fail(OpPrune, "", ErrPruneRunning)
	}
	defer s.pruning.Store(false)
	s.dropAllDead(ctx)
	f := And(ByDriver(DefaultDriver), Custom(func(v Volume) bool { return len(v.Options) == 0 }), opts.Filter)
	if !opts.All {
		f = And(f, ByLabel(AnonymousLabel))
	}
	found, err := s.Find(ctx, f)
	var report Pruned
	for _, v := range found.Volumes {
		if err = ctx.Err(); err != nil {
			break
		}
		s.pruneOne(ctx, v.Name, &report)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return report, nil
	}
	return report, fail(OpPrune, "", err)
}

// dropAllDead lets go of the holders that are over, of all volumes.
func (s *Store) dropAllDead(ctx context.Context) {
	s.mu.RLock()
	keys := slices.Collect(maps.Keys(s.entries))
	s.mu.RUnlock()
	for _, key := range keys {
		unlock, err := s.names.lock(ctx, key)
		if err != nil {
			return
		}
		if err := s.forgetUnlessUsed(ctx, key); err != nil {
			s.log.Warn("holders that are over stay recorded", "volume", key, "error", err)
		}
		unlock()
	}
}

// pruneOne removes one volume; what came into use meanwhile stays.
func (s *Store) pruneOne(ctx context.Context, name string, report *Pruned) {
	var size int64
	if d, err := s.drivers.Lookup(ctx, DefaultDriver); err == nil {
		if sizer, ok := d.(Sizer); ok {
			size, _ = sizer.Size(ctx, name) // a size that can not be told counts as none
		}
	}
	if err := s.Remove(ctx, name, RemoveOptions{}); err != nil {
		if own := (*Error)(nil); !errors.Is(err, ErrInUse) && errors.As(err, &own) {
			report.Failed = append(report.Failed, own)
		}
		return
	}
	report.Removed = append(report.Removed, name)
	report.Freed += size
}
