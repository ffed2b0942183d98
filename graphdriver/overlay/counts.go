package overlay

import (
	"sync"

	"github.com/stratastore/strata/graphdriver"
)

// mountCounts counts this process's Gets by layer.
type mountCounts struct {
	mu sync.Mutex
	n  map[graphdriver.ID]int
}

// got counts a Get. When it finds the layer mounted although nobody here has counted
// it, another process did that, whose mount counts, too: the matching Put must leave it.
func (c *mountCounts) got(id graphdriver.ID, mounted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[graphdriver.ID]int{}
	}
	switch {
	case !mounted:
		c.n[id] = 1
	case c.n[id] == 0:
		c.n[id] = 2
	default:
		c.n[id]++
	}
}

// put counts a Put and reports whether it was the last one that was owed, or not owed at all.
func (c *mountCounts) put(id graphdriver.ID) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n[id] > 1 {
		c.n[id]--
		return false
	}
	delete(c.n, id)
	return true
}

// forget drops the count of a layer that is gone.
func (c *mountCounts) forget(id graphdriver.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.n, id)
}
