package layer

import (
	"sync"
)

// getCount counts this process's unreturned Gets of the driver by layer: another
// process may have done the unmounting that one of them waited for.
type getCount struct {
	mu   sync.Mutex
	gets map[ID]int
}

func (c *getCount) add(id ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gets == nil {
		c.gets = map[ID]int{}
	}
	c.gets[id]++
}

// take returns the count and forgets it.
func (c *getCount) take(id ID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.gets[id]
	delete(c.gets, id)
	return n
}
