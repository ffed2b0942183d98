package graphdriver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Registry is a table of drivers. Fill it first; Names and Open are then safe for
// concurrent use.
type Registry struct {
	drivers map[string]Init
	// Find, when not nil, is asked for a driver that is wanted by name and not registered: a
	// plugin. An ErrNotFound means that there is none either, any other error is final. Such
	// drivers are never chosen by prior state or priority.
	Find func(ctx context.Context, name string) (Init, error)
}

// NewRegistry returns an empty table.
func NewRegistry() *Registry { return &Registry{drivers: map[string]Init{}} }

// Register adds a driver. A name that is taken already is an ErrExists and the first
// registration stays; an empty name or a nil init is an ErrInvalid.
func (r *Registry) Register(name string, init Init) error {
	switch {
	case name == "" || name != filepath.Base(name) || name[0] == '.':
		return fmt.Errorf("register driver %q: bad name: %w", name, errdefs.ErrInvalid)
	case init == nil:
		return fmt.Errorf("register driver %q: no init function: %w", name, errdefs.ErrInvalid)
	case r.drivers[name] != nil:
		return fmt.Errorf("register driver %q: %w", name, errdefs.ErrExists)
	}
	r.drivers[name] = init
	return nil
}

// Lookup returns the function that opens a registered driver; "overlay2" means overlay. An
// unknown name is an error of the class of ErrNotSupported.
func (r *Registry) Lookup(name string) (Init, error) {
	if init := r.drivers[canonical(name)]; init != nil {
		return init, nil
	}
	return nil, r.unknown(name)
}

// Names returns the registered names, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.drivers)) }

// Outside reports whether a driver that is wanted by name is none of the table, and so another
// program's, if anybody's: opening it may wait for that program.
func (r *Registry) Outside(name string) bool {
	return name != "" && r.drivers[canonical(name)] == nil
}

// Open picks a driver, opens it, and says why that one in a sentence for people, which
// the caller logs. The rules, first match wins:
//
//  1. A named driver is used whatever else is there. "overlay2" means overlay.
//  2. State in the graph root decides: a directory <root>/<driver>, not empty or not
//     readable, of a registered driver. Its failure is final, of whatever class, because
//     another driver would make the images disappear. State of several drivers is a
//     *SeveralStatesError before anything is opened. vfs counts here only when it is named
//     in Priority, or when its state is the only one: then it is reused, since starting
//     another driver beside it would hide its images too. Layers of a driver that is not
//     registered are a *ForeignStateError when there is no other state.
//  3. The priority list, then registered drivers outside of it, by name. An error that
//     IsNotSupported recognises moves on, any other is final. vfs comes to its turn in the
//     built-in list and when Priority names it; the reason then says why the others did not.
//
// Options are checked before anything is opened: all have to parse and to have no prefix or
// that of a driver that is registered or known from other engines. The chosen driver gets
// its own and the unprefixed ones.
func (r *Registry) Open(ctx context.Context, c Choice) (d Driver, reason string, err error) {
	if err := c.validate(); err != nil {
		return nil, "", err
	}
	options, err := parseOptions(c.Options, r.prefixes(c.Name))
	if err != nil {
		return nil, "", err
	}
	o := opener{registry: r, choice: c, options: options}
	if c.Name != "" {
		return o.named(ctx, canonical(c.Name))
	}
	return o.unnamed(ctx)
}

// prefixes are the drivers whose options may be given, the wanted one among them, sorted.
func (r *Registry) prefixes(wanted string) []string {
	names := append(r.Names(), foreignPrefixes...)
	if wanted != "" {
		names = append(names, strings.ToLower(canonical(wanted)))
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// opener is one run of Open.
type opener struct {
	registry *Registry
	choice   Choice
	options  []rawOption
}

func (o opener) named(ctx context.Context, name string) (Driver, string, error) {
	init, err := o.registry.find(ctx, name)
	if err != nil {
		return nil, "", err
	}
	d, err := o.openWith(ctx, name, init)
	if err != nil {
		return nil, "", err
	}
	return d, name + " was asked for by name", nil
}

// find looks a wanted driver up in the table, and then among the plugins.
func (r *Registry) find(ctx context.Context, name string) (Init, error) {
	if init := r.drivers[name]; init != nil {
		return init, nil
	}
	if r.Find == nil || slices.Contains(removedDrivers, name) {
		return nil, r.unknown(name)
	}
	init, err := r.Find(ctx, name)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil, r.unknown(name)
	}
	if err != nil {
		return nil, fmt.Errorf("find storage driver %q: %w", name, err)
	}
	return init, nil
}

func (r *Registry) unknown(name string) error {
	text := "strata has no driver of this name"
	if slices.Contains(removedDrivers, name) {
		text = "this driver was removed from all engines"
	}
	err := fmt.Errorf("storage driver %q: %s: %w", name, text, ErrNotSupported)
	hint := "drivers in this program: " + strings.Join(r.Names(), ", ")
	if r.Find != nil {
		hint += "; no plugin of this name was found"
	}
	return errdefs.WithHint(err, hint)
}

func (o opener) unnamed(ctx context.Context) (Driver, string, error) {
	found := o.registry.state(o.choice.Root)
	others := slices.DeleteFunc(slices.Clone(found), func(name string) bool {
		return name == lastResort && !slices.Contains(o.choice.Priority, lastResort)
	})
	switch {
	case len(others) > 1:
		return nil, "", &SeveralStatesError{Root: o.choice.Root, Drivers: others}
	case len(others) == 1:
		return o.prior(ctx, others[0], found)
	}
	foreign, err := o.registry.foreign(o.choice.Root)
	switch {
	case err != nil:
		return nil, "", err
	case len(foreign) > 0:
		return nil, "", &ForeignStateError{Root: o.choice.Root, Drivers: foreign}
	case len(found) == 1:
		return o.prior(ctx, found[0], found)
	}
	return o.byPriority(ctx)
}

// prior opens the driver that has state; found are all that have.
func (o opener) prior(ctx context.Context, name string, found []string) (Driver, string, error) {
	home := filepath.Join(o.choice.Root, name)
	d, err := o.open(ctx, name)
	if err != nil {
		return nil, "", errdefs.WithHint(err, home+" holds earlier state, so no other driver was tried; name one to use it all the same")
	}
	reason := name + " has its layers in " + home
	if len(found) > 1 {
		reason += "; those in " + filepath.Join(o.choice.Root, lastResort) + " are not visible with it"
	} else if name == lastResort {
		reason += ", and no other driver has any"
	}
	return d, reason, nil
}

func (o opener) byPriority(ctx context.Context) (Driver, string, error) {
	var passed []error
	for _, name := range o.choice.order(o.registry.Names()) {
		d, err := o.try(ctx, name)
		if err == nil {
			return d, why(name, passed), nil
		}
		if !IsNotSupported(err) {
			return nil, "", err
		}
		passed = append(passed, err)
	}
	err := fmt.Errorf("no supported storage driver found in %s: %w", o.choice.Root, errors.Join(append(passed, ErrNotSupported)...))
	if o.registry.drivers[lastResort] != nil {
		err = errdefs.WithHint(err, "vfs works everywhere, slowly: ask for it with --storage-driver vfs, or name it in driver_priority")
	}
	return nil, "", err
}

func why(name string, passed []error) string {
	if len(passed) == 0 {
		return name + " is the first in the order of priority"
	}
	var causes []string
	for _, err := range passed {
		causes = append(causes, err.Error())
	}
	reason := name + " is the first in the order of priority that works here: " + strings.Join(causes, "; ")
	if name == lastResort {
		reason += "; it copies whole trees, which costs time and space"
	}
	return reason
}

// try opens a driver that has no state yet. When the host can not run it, the empty
// directories that it made are taken away again, or they would be its state next time.
func (o opener) try(ctx context.Context, name string) (Driver, error) {
	home := filepath.Join(o.choice.Root, name)
	_, statErr := os.Lstat(home)
	d, err := o.open(ctx, name)
	if err != nil && errors.Is(statErr, fs.ErrNotExist) {
		removeEmpty(home)
	}
	return d, err
}

func (o opener) open(ctx context.Context, name string) (Driver, error) {
	return o.openWith(ctx, name, o.registry.drivers[name])
}

func (o opener) openWith(ctx context.Context, name string, init Init) (Driver, error) {
	cfg, err := o.choice.config(name, optionsOf(name, o.options))
	if err != nil {
		return nil, err
	}
	d, err := init(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open storage driver %s: %w", name, err)
	}
	return d, nil
}

// state returns the registered drivers that have something in root, sorted.
func (r *Registry) state(root string) []string {
	return slices.DeleteFunc(r.Names(), func(name string) bool { return !occupied(filepath.Join(root, name)) })
}

// layersSuffix ends the name of the directory with a driver's layer records.
const layersSuffix = "-layers"

// foreign returns the drivers that are not registered and have layers in root, sorted. What
// counts are records, since the files of a plugin are the plugin's own matter; another
// engine's driver has its files here, or it is not there any more.
func (r *Registry) foreign(root string) (names []string, err error) {
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for storage drivers: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), layersSuffix)
		if !ok || !e.IsDir() || r.drivers[name] != nil {
			continue
		}
		if (slices.Contains(foreignPrefixes, name) || slices.Contains(removedDrivers, name)) && !occupied(filepath.Join(root, name)) {
			continue
		}
		info, err := os.Stat(filepath.Join(root, e.Name(), "layers.json"))
		if err == nil && info.Size() > int64(len("[]\n")) {
			names = append(names, name)
		}
	}
	return names, nil
}

// occupied tells whether there is a directory with something in it; one that can not be read
// counts, because nothing proves that it is empty.
func occupied(dir string) bool {
	f, err := os.Open(dir)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	names, err := f.Readdirnames(1)
	return len(names) > 0 || err == nil || !errors.Is(err, io.EOF)
}

// removeEmpty removes the directories of a tree that has nothing else in it, and stops
// at the first thing that is not a directory.
func removeEmpty(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			removeEmpty(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir) // fails when not empty, which is the point
}
