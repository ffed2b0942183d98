package layer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/recordfile"
)

// Mount makes the layer's tree visible, counts it for all processes of this and
// the other engines, and returns its path. A layer that is mounted already is
// only counted, with the options it was mounted with; a count that the kernel's
// mount table disagrees with starts anew (on-disk format, 4.5, 9.11).
//
// ErrUnknown; ErrReadOnlyStore for a layer of an additional store without
// ReadOnly; ErrIncomplete. Call it without any transaction: it takes
// storage.lock, then the layers' and the mounts' locks. A cancelled call has
// mounted nothing.
func (s *Store) Mount(ctx context.Context, id ID, opts MountOptions) (path string, err error) {
	tx, err := s.viewForMounting(ctx)
	if err != nil {
		return "", err
	}
	defer closing(&err, tx)
	l, err := tx.complete(id)
	if err != nil {
		return "", err
	}
	if l.ReadOnly && !opts.ReadOnly {
		return "", fmt.Errorf("mounting read/only store images is not allowed: %w", ErrReadOnlyStore)
	}
	mounts, err := s.beginMounts(ctx)
	if err != nil {
		return "", err
	}
	defer closing(&err, mounts)
	return s.mount(ctx, mounts, tx.heal, &l, opts)
}

func (s *Store) mount(ctx context.Context, mounts *recordfile.WriteTx[mountRecord], heal healer, l *Layer, opts MountOptions) (string, error) {
	m, err := s.liveMount(ctx, mounts, l.ID)
	if err != nil {
		return "", err
	}
	fresh := m.Count == 0
	if fresh {
		if m.Path, err = s.getLayer(ctx, heal, l, opts); err != nil {
			return "", fmt.Errorf("mount layer %s: %w", l.ID, err)
		}
	}
	m.Count++
	if opts.Borrower != "" {
		m.Borrowers = append(slices.Clone(m.Borrowers), opts.Borrower)
	}
	if err = setMount(mounts, m); err == nil {
		err = mounts.Commit(ctx)
	}
	if err != nil && fresh {
		err = errors.Join(err, s.put(context.WithoutCancel(ctx), l.ID))
	}
	if err != nil {
		return "", fmt.Errorf("count mount of layer %s: %w", l.ID, err)
	}
	return m.Path, nil
}

// getLayer lets the driver mount the layer.
func (s *Store) getLayer(ctx context.Context, heal healer, l *Layer, opts MountOptions) (path string, err error) {
	err = heal.retry(ctx, l.ID, func() error {
		path, err = s.driver().Get(ctx, graphdriver.ID(l.ID), opts.driverOptions(&l.Record))
		return err
	})
	if err == nil {
		s.gets.add(l.ID)
	}
	return path, err
}

// liveMount returns the layer's record of a mount that the kernel has, too; else
// one with count 0.
func (s *Store) liveMount(ctx context.Context, mounts *recordfile.WriteTx[mountRecord], id ID) (mountRecord, error) {
	m, known, err := mounts.Get(string(id))
	if err != nil {
		return m, err
	}
	if !known || m.Path == "" || m.Count <= 0 {
		return mountRecord{ID: id}, nil
	}
	live, err := s.isMounted(ctx, id, m.Path)
	if err != nil {
		return m, err
	}
	if !live {
		return mountRecord{ID: id}, nil
	}
	return m, nil
}

// isMounted reports whether a counted mount is still there: by the kernel's view,
// which the driver knows, and by the boot, for drivers that mount nothing. Drivers
// that can not tell are taken at the count's word.
func (s *Store) isMounted(ctx context.Context, id ID, path string) (bool, error) {
	if s.outlived(path) {
		return false, nil
	}
	state, ok := s.driver().(graphdriver.MountState)
	if !ok {
		return true, nil
	}
	_, mounted, err := state.Mounted(ctx, graphdriver.ID(id))
	if err != nil {
		return false, fmt.Errorf("mount state of layer %s: %w", id, err)
	}
	return mounted, nil
}

// Unmount takes one off the count and unmounts at zero. It reports whether the
// layer is unmounted now, by this call or before. ErrUnknown. Call it without any
// transaction: it takes the layers' locks exclusively, since nobody may compute a
// diff of the mounted tree meanwhile, but not storage.lock.
func (s *Store) Unmount(ctx context.Context, id ID, opts UnmountOptions) (unmounted bool, err error) {
	tx, err := s.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer closing(&err, tx)
	if !tx.Exists(id) {
		return false, about(id, ErrUnknown)
	}
	mounts, err := s.beginMounts(ctx)
	if err != nil {
		return false, err
	}
	defer closing(&err, mounts)
	return s.unmount(ctx, mounts, id, opts)
}

func (s *Store) unmount(ctx context.Context, mounts *recordfile.WriteTx[mountRecord], id ID, opts UnmountOptions) (bool, error) {
	m, _, err := mounts.Get(string(id))
	if err != nil {
		return false, err
	}
	if m.Count <= 0 && opts.Strict {
		return false, about(id, ErrNotMounted)
	}
	last := m.Count <= 1 || opts.Force
	if last {
		if err := s.put(ctx, id); err != nil {
			return false, fmt.Errorf("unmount layer %s: %w", id, err)
		}
		m.Count = 1
		ctx = context.WithoutCancel(ctx) // the count has to follow
	}
	m.ID, m.Count = id, m.Count-1
	m.Borrowers = slices.DeleteFunc(slices.Clone(m.Borrowers), func(b string) bool { return b == opts.Borrower })
	if err := setMount(mounts, m); err != nil {
		return false, err
	}
	return last, mounts.Commit(ctx)
}

// put undoes every Get that this process did for the layer, and at least one:
// the driver then unmounts what another process has mounted.
func (s *Store) put(ctx context.Context, id ID) error {
	if err := faults.Hit("layer.put", s.opts.GraphDir); err != nil {
		return err
	}
	for range max(1, s.gets.take(id)) {
		if err := s.driver().Put(ctx, graphdriver.ID(id)); err != nil {
			return err
		}
	}
	return nil
}

// Mounted returns how often the layer is mounted: 0 when the kernel does not
// have the mount any more, whatever the record says. ErrUnknown.
func (s *Store) Mounted(ctx context.Context, id ID) (int, error) {
	l, err := s.get(ctx, id)
	if err != nil || l.MountCount == 0 {
		return 0, err
	}
	live, err := s.isMounted(ctx, id, l.MountPath)
	if err != nil || !live {
		return 0, err
	}
	return l.MountCount, nil
}

// MountedLayers returns the layers that are mounted now, and those that are only counted: who
// unmounted them was killed before he had saved that, or they are mounted in another mount
// namespace. Both are in listing order.
func (s *Store) MountedLayers(ctx context.Context) (mounted, counted []ID, err error) {
	tx, err := s.View(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer closing(&err, tx)
	for _, id := range unique(tx.IDs()) {
		m, ok := tx.mounts[id]
		if !ok {
			continue
		}
		live, err := s.isMounted(ctx, id, m.Path)
		if err != nil {
			return nil, nil, err
		}
		if live {
			mounted = append(mounted, id)
		} else {
			counted = append(counted, id)
		}
	}
	return mounted, counted, nil
}
