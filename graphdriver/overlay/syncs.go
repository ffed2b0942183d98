package overlay

import (
	"sync"
)

// syncs remembers which flushes of file systems have succeeded, so that one does for
// all that was written before it began. The zero value is ready.
type syncs struct {
	mu    sync.Mutex
	homes map[string]*syncCount // by path
}

// syncCount numbers the flushes of one home's file system.
type syncCount struct{ begun, done uint64 }

func (s *syncs) count(h home) *syncCount {
	if s.homes == nil {
		s.homes = map[string]*syncCount{}
	}
	c := s.homes[h.path]
	if c == nil {
		c = &syncCount{}
		s.homes[h.path] = c
	}
	return c
}

// begun returns how many flushes have begun: what is written now needs a later one.
func (s *syncs) begun(h home) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(h).begun
}

// since reports whether a flush has succeeded that began after written was begun's result.
func (s *syncs) since(h home, written uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count(h).done > written
}

// do numbers one flush.
func (s *syncs) do(h home, flush func() error) error {
	s.mu.Lock()
	s.count(h).begun++
	number := s.count(h).begun
	s.mu.Unlock()
	if err := flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(h).done = max(s.count(h).done, number)
	return nil
}
