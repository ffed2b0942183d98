package volume

import (
	"context"
	"maps"
)

// living drops the holders that are over. Holders without an identity stay.
func (s *Store) living(refs map[string]reference) map[string]reference {
	alive := map[string]reference{}
	for id, ref := range refs {
		if ref.alive(s.boot) {
			alive[id] = ref
		}
	}
	return alive
}

// hold adds a holder, or refreshes its identity. The name is locked and known.
func (s *Store) hold(key string, h Holder, keep bool) error {
	if h.ID == "" {
		return nil
	}
	return s.changeRefs(key, func(refs map[string]reference) {
		ref := refs[h.ID]
		ref.Holder, ref.Kept = h, ref.Kept || keep
		refs[h.ID] = ref
	})
}

// changeRefs applies a change to a copy of the references, records it and then shows it.
func (s *Store) changeRefs(key string, change func(map[string]reference)) error {
	e, ok := s.entry(key)
	if !ok {
		return nil
	}
	before := maps.Clone(e.refs)
	change(e.refs)
	if maps.Equal(before, e.refs) {
		return nil
	}
	if recordable(before) || recordable(e.refs) {
		if err := s.meta.putRefs(key, e.refs); err != nil {
			return err
		}
	}
	s.set(key, e)
	return nil
}

// recordable reports whether any of the references is written to disk.
func recordable(refs map[string]reference) bool {
	for _, ref := range refs {
		if ref.verifiable() {
			return true
		}
	}
	return false
}

// dropDead drops the holders that are over, and takes their mounts back. What the driver
// can not take back is logged: the holder is over all the same.
func (s *Store) dropDead(ctx context.Context, key string, d Driver) error {
	e, ok := s.entry(key)
	if !ok {
		return nil
	}
	alive := s.living(e.refs)
	if len(alive) == len(e.refs) {
		return nil
	}
	for id, ref := range e.refs {
		if _, ok := alive[id]; ok || d == nil || ref.Boot != "" && ref.Boot != s.boot {
			continue
		}
		for range ref.Mounts {
			if err := d.Unmount(ctx, e.Name, id); err != nil {
				s.log.Warn("mount of a dead holder stays", "volume", e.Name, "holder", id, "error", err)
				break
			}
		}
	}
	return s.changeRefs(key, func(refs map[string]reference) {
		maps.DeleteFunc(refs, func(id string, _ reference) bool { _, ok := alive[id]; return !ok })
	})
}

// Release takes back a holder's hold on a volume; mounts that it did not take back keep
// it. Unknown volumes and holders are success.
func (s *Store) Release(ctx context.Context, name, id string) error {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return fail(OpUnused, name, err)
	}
	defer unlock()
	err = s.changeRefs(key, func(refs map[string]reference) {
		ref, ok := refs[id]
		if ref.Kept = false; ok && (ref.Mounts > 0 || ref.Busy) {
			refs[id] = ref
			return
		}
		delete(refs, id)
	})
	return fail(OpUnused, name, err)
}

// DropHolders forgets all holders of a volume, whoever they are; release has its driver forget
// them. If this process dies meanwhile, or release fails, the next Open takes their mounts back.
func (s *Store) DropHolders(ctx context.Context, name string, release func(ctx context.Context) error) error {
	key, unlock, err := s.begin(ctx, name)
	if err != nil {
		return fail(OpUnused, name, err)
	}
	defer unlock()
	// On a full disk they are let go of all the same; then only the end can be recorded.
	_ = s.changeRefs(key, func(refs map[string]reference) {
		for id, ref := range refs {
			ref.Mounts, ref.Busy, ref.Kept = 0, true, false
			refs[id] = ref
		}
	})
	if err := release(ctx); err != nil {
		return fail(OpUnused, name, err)
	}
	return fail(OpUnused, name, s.changeRefs(key, func(refs map[string]reference) { clear(refs) }))
}

// CountReferences returns how many holders a volume has; an unknown volume has none.
func (s *Store) CountReferences(name string) int { return len(s.references(name)) }

// Holders returns who holds a volume, in no order.
func (s *Store) Holders(name string) []Holder {
	e, _ := s.entry(s.key(name))
	var holders []Holder
	for _, ref := range e.refs {
		holders = append(holders, ref.Holder)
	}
	return holders
}
