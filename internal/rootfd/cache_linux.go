package rootfd

import (
	"container/list"
	"strings"
	"sync"
)

// dirCache keeps the last used directories open. A nil cache keeps none.
type dirCache struct {
	max int

	mu     sync.Mutex
	byName map[string]*list.Element
	used   *list.List // of kept; the most recently used in front
}

type kept struct {
	name string
	dir  *Dir
}

func newDirCache(n int) *dirCache {
	return &dirCache{max: n, byName: make(map[string]*list.Element, n), used: list.New()}
}

// get returns a new hold on a kept directory, or nil.
func (c *dirCache) get(name string) *Dir {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byName[name]
	if !ok {
		return nil
	}
	c.used.MoveToFront(e)
	return valueOf(e).dir.Hold()
}

// put keeps d under name and lets go of the one that was unused for longest.
func (c *dirCache) put(name string, d *Dir) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byName[name]; ok {
		c.remove(e)
	}
	c.byName[name] = c.used.PushFront(kept{name, d.Hold()})
	if c.used.Len() > c.max {
		c.remove(c.used.Back())
	}
}

// forget drops name and all below it.
func (c *dirCache) forget(name string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.used.Front(); e != nil; {
		next := e.Next()
		if n := valueOf(e).name; below(n, name) {
			c.remove(e)
		}
		e = next
	}
}

// drop empties the cache.
func (c *dirCache) drop() { c.forget(".") }

// remove is for callers that hold the mutex; it is the only place that lets go.
func (c *dirCache) remove(e *list.Element) {
	k := valueOf(e)
	c.used.Remove(e)
	delete(c.byName, k.name)
	k.dir.Release()
}

// below reports whether name is dir or inside it.
func below(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return dir == "." || ok && (rest == "" || rest[0] == '/')
}

// valueOf is the only reader of the list's values, which are all of one type.
func valueOf(e *list.Element) kept {
	k, _ := e.Value.(kept)
	return k
}
