package volume

import (
	"context"
	"sync"
)

// nameLocks is a lock per name: drivers may be slow, and other names go on.
type nameLocks struct {
	mu    sync.Mutex
	locks map[string]*nameLock
}

type nameLock struct {
	held chan struct{} // has room for one: whoever put something in has the lock
	use  int           // holders and waiters
}

// lock waits for a name. The returned function gives it back.
func (n *nameLocks) lock(ctx context.Context, name string) (unlock func(), err error) {
	n.mu.Lock()
	if n.locks == nil {
		n.locks = map[string]*nameLock{}
	}
	l := n.locks[name]
	if l == nil {
		l = &nameLock{held: make(chan struct{}, 1)}
		n.locks[name] = l
	}
	l.use++
	n.mu.Unlock()
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; n.leave(name, l) }, nil
	case <-ctx.Done():
		n.leave(name, l)
		return nil, ctx.Err()
	}
}

func (n *nameLocks) leave(name string, l *nameLock) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.use--; l.use == 0 {
		delete(n.locks, name)
	}
}
