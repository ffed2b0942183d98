package graphdriver

import (
	"context"
	"sync"
)

// IDLocks is a lock per layer ID, for drivers to serialise calls with. The zero
// value is ready; it must not be copied. Locks cost memory only while held or awaited.
type IDLocks struct {
	mu   sync.Mutex
	held map[ID]*idLock
}

// idLock is one ID's lock: a channel of capacity one that is full while held.
type idLock struct {
	taken chan struct{}
	users int // holders and waiters, guarded by IDLocks.mu
}

// Lock waits until nobody else holds id and returns the function that gives it
// back, to be called once. When ctx ends first it returns ctx's error and holds nothing.
func (l *IDLocks) Lock(ctx context.Context, id ID) (unlock func(), err error) {
	k := l.join(id)
	select {
	case k.taken <- struct{}{}:
		return func() { <-k.taken; l.leave(id, k) }, nil
	case <-ctx.Done():
		l.leave(id, k)
		return nil, ctx.Err()
	}
}

func (l *IDLocks) join(id ID) *idLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[ID]*idLock{}
	}
	k := l.held[id]
	if k == nil {
		k = &idLock{taken: make(chan struct{}, 1)}
		l.held[id] = k
	}
	k.users++
	return k
}

func (l *IDLocks) leave(id ID, k *idLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.held, id)
	}
}
