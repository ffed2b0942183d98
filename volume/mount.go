package volume

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/errdefs"
)

// Mount makes a volume's data available to a holder and returns its path. Each Mount
// wants its Unmount; the holder counts as one as long as it has mounts. A holder without
// an identity is tied to this boot of the machine, which no mount outlives; one without an ID
// is an errdefs.ErrInvalid, for nobody could name it to have it unmounted.
//
// That the driver is at it is recorded before, and the mount after: if this process dies in
// between, the next Open has the driver take back what there is (Settler).
func (s *Store) Mount(ctx context.Context, name string, h Holder) (string, error) {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return "", fail(OpMount, name, err)
	}
	defer unlock()
	if h.ID == "" {
		return "", fail(OpMount, name, fmt.Errorf("who mounts a volume needs an ID: %w", errdefs.ErrInvalid))
	}
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
	had := e.refs[h.ID].Mounts
	if err := s.setMounts(key, h, had, true); err != nil {
		return "", err
	}
	path, err := d.Mount(ctx, e.Name, h.ID)
	if err != nil {
		return "", errors.Join(err, s.setMounts(key, h, had, false))
	}
	if err := s.setMounts(key, h, had+1, false); err != nil {
		// It may be on the disk all the same: what could not be synced was written.
		return "", errors.Join(err, d.Unmount(context.WithoutCancel(ctx), e.Name, h.ID), s.setMounts(key, h, had, false))
	}
	return path, nil
}

// setMounts says how many mounts a holder has; without any the holder goes, unless it is
// kept, or the driver is at it.
func (s *Store) setMounts(key string, h Holder, n int, busy bool) error {
	return s.changeRefs(key, func(refs map[string]reference) {
		ref := refs[h.ID]
		ref.Holder, ref.Mounts, ref.Busy = h, n, busy
		refs[h.ID] = ref
		if n == 0 && !busy && !ref.Kept {
			delete(refs, h.ID)
		}
	})
}

// Unmount takes back one Mount of the holder called id. The count goes down even if the
// driver fails; one that is a Settler is asked again by the next Unmount or Open, and the
// holder stays until then. A holder without mounts is passed on to the driver, which knows best, and
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
	ref := e.refs[id]
	if ref.Mounts == 0 && !ref.Busy {
		return d.Unmount(ctx, e.Name, id)
	}
	left := max(ref.Mounts-1, 0)
	// On a full disk the volume is let go of all the same; then only the end can be recorded.
	_ = s.setMounts(key, ref.Holder, left, true)
	err = d.Unmount(ctx, e.Name, id)
	_, settles := d.(Settler)
	if errors.Is(err, ErrUnavailable) {
		left, settles = ref.Mounts, false // not even heard: the mount is still the holder's
	}
	return errors.Join(err, s.setMounts(key, ref.Holder, left, err != nil && settles))
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
