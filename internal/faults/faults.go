// Package faults lets tests make a named step of a write path fail, or run
// something just before it: a SIGKILL, the cancellation of a context, another
// operation while this one waits.
//
// Code passes through Hit at the steps whose failure matters, and Record lists
// those that an operation passes. While no rule is enabled, Hit costs one atomic
// load and nothing on the heap, if the path is one that the caller has anyway.
// Rules are the one thing in strata that is process-wide: the steps sit in leaves
// below every Options struct, and only tests ever enable a rule. A rule is confined
// to one directory, so parallel tests do not meet each other's faults.
package faults

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Rule says which passage through a point misbehaves, and how.
type Rule struct {
	// Point is the name of the step, "atomicfile.rename" for example; "" is every step.
	Point string
	// Under confines the rule to paths in this directory; "" is every path.
	Under string
	// Skip lets this many matching passages go by first.
	Skip int
	// Times is how many passages misbehave after that; 0 is all.
	Times int
	// Do runs at the point, before Err is returned; nil does nothing. It may take as
	// long as it likes, and pass through points itself.
	Do func()
	// Err is what Hit returns; nil lets the step go on.
	Err error

	see func(point string) // nil: nobody is told
}

type armed struct {
	Rule
	hits atomic.Int64
}

// rules holds what is enabled; nil in every program that is not a test.
var rules atomic.Pointer[[]*armed]

// changing serialises Enable and the functions that it returns.
var changing sync.Mutex

// Enable arms r until the returned function is called. Safe for concurrent use.
func Enable(r Rule) (disable func()) {
	a := &armed{Rule: r}
	update(func(list []*armed) []*armed { return append(list, a) })
	return func() {
		update(func(list []*armed) []*armed {
			return slices.DeleteFunc(list, func(o *armed) bool { return o == a })
		})
	}
}

// Record notes every passage through a point on a path in the directory under, ""
// being every path, until the returned function is called, which returns the
// points in the order in which they were passed.
func Record(under string) (stop func() []string) {
	var mu sync.Mutex
	var points []string
	disable := Enable(Rule{Under: under, see: func(point string) {
		mu.Lock()
		defer mu.Unlock()
		points = append(points, point)
	}})
	return func() []string {
		disable()
		mu.Lock()
		defer mu.Unlock()
		return points
	}
}

func update(change func([]*armed) []*armed) {
	changing.Lock()
	defer changing.Unlock()
	var list []*armed
	if p := rules.Load(); p != nil {
		list = slices.Clone(*p)
	}
	if list = change(list); len(list) == 0 {
		rules.Store(nil)
		return
	}
	rules.Store(&list)
}

// Hit marks the step called point on path. It returns the error of the first
// enabled rule that applies, nil otherwise.
func Hit(point, path string) error {
	if p := rules.Load(); p != nil {
		return apply(*p, point, path)
	}
	return nil
}

func apply(list []*armed, point, path string) error {
	for _, a := range list {
		if !a.due(point, path) {
			continue
		}
		if a.see != nil {
			a.see(point)
		}
		if a.Do != nil {
			a.Do()
		}
		if a.Err != nil {
			return a.Err
		}
	}
	return nil
}

func (a *armed) due(point, path string) bool {
	if a.Point != "" && a.Point != point || !under(a.Under, path) {
		return false
	}
	n := int(a.hits.Add(1)) - a.Skip
	return n > 0 && (a.Times == 0 || n <= a.Times)
}

func under(dir, path string) bool {
	if dir == "" {
		return true
	}
	dir = filepath.Clean(dir)
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
