package volume

import (
	"context"
	"errors"
)

// Mount makes a volume's data available to a holder and returns its path. Each Mount
// wants its Unmount; the holder counts as one as long as it has mounts. A holder without
// an identity is tied to this boot of the machine, which no mount outlives.
//
// The holder is recorded before the driver mounts: if this process dies in between, the
// volume has a holder too many, never one too few.
func (s *Store) Mount(ctx context.Context, name string, h Holder) (string, error) {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return "", fail(OpMount, name, err)
	}
	defer unlock()
	if !h.verifiable() {
		h.Boot = s.boot
	}
	path, err := s.mount(ctx, key, name, h)
	return path, fail(OpMount, name, err)
}

func (s *Store) mount(ctx context.Context, key, name string, h Holder) (string, error) {
	if _, err := s.get(ctx, key, name, ""); err != nil {
		return "", err
	}
	e, _ := s.entry(key)
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		return "", err
	}
	if err := s.changeMounts(key, h, +1); err != nil {
		return "", err
	}
	path, err := d.Mount(ctx, e.Name, h.ID)
	if err != nil {
		return "", errors.Join(err, s.changeMounts(key, h, -1))
	}
	return path, nil
}

// changeMounts counts a holder's mounts; at none the holder goes, unless it is kept.
func (s *Store) changeMounts(key string, h Holder, by int) error {
	return s.changeRefs(key, func(refs map[string]reference) {
		ref := refs[h.ID]
		ref.Holder, ref.Mounts = h, max(ref.Mounts+by, 0)
		refs[h.ID] = ref
		if ref.Mounts == 0 && !ref.Kept {
			delete(refs, h.ID)
		}
	})
}

// Unmount takes back one Mount of the holder called id. The count goes down even if the
// driver fails. A holder without mounts is passed on to the driver, which knows best, and
// changes nothing in the store.
func (s *Store) Unmount(ctx context.Context, name, id string) error {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return fail(OpUnmount, name, err)
	}
	defer unlock()
	return fail(OpUnmount, name, s.unmount(ctx, key, id))
}

func (s *Store) unmount(ctx context.Context, key, id string) error {
	e, ok := s.entry(key)
	if !ok {
		return ErrNoSuchVolume
	}
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		return err
	}
	err = d.Unmount(ctx, e.Name, id)
	if errors.Is(err, ErrUnavailable) {
		return err // not even heard: the mount is still the holder's
	}
	if ref, ok := e.refs[id]; ok && ref.Mounts > 0 {
		err = errors.Join(err, s.changeMounts(key, ref.Holder, -1))
	}
	return err
}

// Path is where a volume's data is, "" while it is nowhere.
func (s *Store) Path(ctx context.Context, name string) (string, error) {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return "", fail(OpGet, name, err)
	}
	defer unlock()
	if _, err := s.get(ctx, key, name, ""); err != nil {
		return "", fail(OpGet, name, err)
	}
	e, _ := s.entry(key)
	d, err := s.drivers.Lookup(ctx, e.Driver)
	if err != nil {
		return "", fail(OpGet, name, err)
	}
	path, err := d.Path(ctx, e.Name)
	return path, fail(OpGet, name, err)
}
