package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stratastore/strata/errdefs"
)

// RegistryOptions tune a Registry.
type RegistryOptions struct {
	// Find loads a driver that is not registered, a plugin. Its error for a driver that
	// is nowhere is an ErrNoSuchDriver. nil: there are only registered drivers.
	Find func(ctx context.Context, name string) (Driver, error)
	// Names lists what Find would find; nil: nothing.
	Names func(ctx context.Context) ([]string, error)
}

// Registry is the set of drivers of a store, with a count of how many volumes use each.
// It is safe for concurrent use.
type Registry struct {
	opts RegistryOptions

	mu      sync.Mutex
	drivers map[string]Driver
	uses    map[string]int
}

// NewRegistry returns a registry without drivers.
func NewRegistry(opts RegistryOptions) *Registry {
	return &Registry{opts: opts, drivers: map[string]Driver{}, uses: map[string]int{}}
}

// Register adds a driver under its own name; a name that is taken is an errdefs.ErrExists.
func (r *Registry) Register(d Driver) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := CanonicalDriver(d.Name())
	if _, taken := r.drivers[name]; taken {
		return fmt.Errorf("volume driver %q: %w", name, errdefs.ErrExists)
	}
	r.drivers[name] = d
	return nil
}

// Lookup returns the driver called name, loading it if it is a plugin. Its error says that
// the driver was looked up, and is an ErrNoSuchDriver or the plugin's.
func (r *Registry) Lookup(ctx context.Context, name string) (Driver, error) {
	name = CanonicalDriver(name)
	r.mu.Lock()
	d, ok := r.drivers[name]
	r.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := r.find(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("error looking up volume plugin %s: %w", name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first, ok := r.drivers[name]; ok {
		return first, nil // somebody else was faster
	}
	r.drivers[name] = d
	return d, nil
}

func (r *Registry) find(ctx context.Context, name string) (Driver, error) {
	if r.opts.Find == nil {
		return nil, &missingDriver{name}
	}
	d, err := r.opts.Find(ctx, name)
	if errors.Is(err, ErrNoSuchDriver) {
		return nil, &missingDriver{name}
	}
	return d, err
}

// missingDriver has the text that users of other engines know.
type missingDriver struct{ name string }

func (e *missingDriver) Error() string { return fmt.Sprintf("plugin %q not found", e.name) }
func (e *missingDriver) Unwrap() error { return ErrNoSuchDriver }

// Acquire is Lookup for somebody who is going to use the driver, until Release.
func (r *Registry) Acquire(ctx context.Context, name string) (Driver, error) {
	d, err := r.Lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses[CanonicalDriver(d.Name())]++
	return d, nil
}

// Release takes back one Acquire of the driver with that canonical name.
func (r *Registry) Release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name = CanonicalDriver(name)
	if r.uses[name]--; r.uses[name] == 0 {
		delete(r.uses, name)
	}
}

// Uses returns how often the driver is acquired: once for each volume of it that the store
// knows.
func (r *Registry) Uses(name string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uses[CanonicalDriver(name)]
}

// Names returns the names of all drivers, also of plugins that are not loaded: DefaultDriver
// first, the others sorted. The error is that of finding plugins; the list is good for the
// rest.
func (r *Registry) Names(ctx context.Context) ([]string, error) {
	var found []string
	var err error
	if r.opts.Names != nil {
		found, err = r.opts.Names(ctx)
	}
	r.mu.Lock()
	for name := range r.drivers {
		found = append(found, name)
	}
	r.mu.Unlock()
	return driverOrder(found), err
}

// driverOrder sorts names of drivers, DefaultDriver first, each once.
func driverOrder(names []string) []string {
	canonical := make([]string, len(names))
	for i, name := range names {
		canonical[i] = CanonicalDriver(name)
	}
	slices.SortFunc(canonical, func(a, b string) int {
		switch {
		case a == b:
			return 0
		case a == DefaultDriver || b != DefaultDriver && a < b:
			return -1
		}
		return 1
	})
	return slices.Compact(canonical)
}
