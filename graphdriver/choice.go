package graphdriver

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Choice says which driver is wanted and what it is opened with.
type Choice struct {
	// Root is the graph root, RunRoot the run root; absolute.
	Root, RunRoot string
	// ImageRoot is the separate image store, "" for none.
	ImageRoot string
	// AdditionalRoots are graph roots of read-only stores. Those that stand in Options
	// ("imagestore=/path") are added after them; see ImageStores.
	AdditionalRoots []string
	// Name is the wanted driver; "" leaves it to prior state and priority.
	Name string
	// Priority is driver_priority of storage.conf; empty means DefaultPriority.
	Priority []string
	// Options are driver options as written: "overlay.mountopt=nodev", ".k=v", "k=v".
	Options []string
	// Logger, Sync, Rootless and DisableIDMap go into the driver's Config.
	Logger       *slog.Logger
	Sync         SyncMode
	Rootless     bool
	DisableIDMap bool
}

// lastResort is the driver that works everywhere and is slow everywhere: its state and its
// place in the priority list have rules of their own (see Registry.Open).
const lastResort = "vfs"

// DefaultPriority returns the order in which drivers are tried when nothing is wanted and no
// state is there. Drivers that are not registered are passed over.
func DefaultPriority() []string { return []string{"overlay", "btrfs", lastResort} }

// removedDrivers once existed in the engines whose stores strata opens.
var removedDrivers = []string{"aufs", "devicemapper"}

// foreignPrefixes are drivers whose options may stand in a storage.conf that this build can
// not serve; they are ignored, not errors.
var foreignPrefixes = []string{"btrfs", "overlay", lastResort, "zfs"}

// canonical resolves the one alias there is: Docker's name of overlay.
func canonical(name string) string {
	if name == "overlay2" {
		return "overlay"
	}
	return name
}

// order is what openByPriority tries: the priority list, then the rest of the registered ones.
// A list of the user's own is not widened by the last resort: that has to be named in it.
func (c Choice) order(registered []string) []string {
	list := c.Priority
	if len(list) == 0 {
		list = DefaultPriority()
	}
	var out []string
	for _, name := range append(slices.Clone(list), registered...) {
		name = canonical(name)
		if !slices.Contains(registered, name) || slices.Contains(out, name) {
			continue
		}
		if name == lastResort && !slices.Contains(list, lastResort) {
			continue
		}
		out = append(out, name)
	}
	return out
}

// config is what the driver name is opened with.
func (c Choice) config(name string, options []Option) (Config, error) {
	stores, err := c.ImageStores(name)
	if err != nil {
		return Config{}, err
	}
	cfg := Config{
		Root: c.Root, Home: filepath.Join(c.Root, name), RunHome: filepath.Join(c.RunRoot, name),
		Logger: c.Logger, Sync: c.Sync, Rootless: c.Rootless, DisableIDMap: c.DisableIDMap,
		Options: slices.DeleteFunc(options, func(o Option) bool { return o.Key == imageStoreKey }),
	}
	if c.ImageRoot != "" {
		cfg.ImageHome = filepath.Join(c.ImageRoot, name)
	}
	for _, s := range stores {
		cfg.AdditionalHomes = append(cfg.AdditionalHomes, filepath.Join(s, name))
	}
	return cfg, nil
}

func (c Choice) validate() error {
	roots := []struct{ what, path string }{{"graph root", c.Root}, {"run root", c.RunRoot}}
	if c.ImageRoot != "" {
		roots = append(roots, struct{ what, path string }{"image store", c.ImageRoot})
	}
	for _, r := range roots {
		if !filepath.IsAbs(r.path) {
			return fmt.Errorf("%s %q is not an absolute path: %w", r.what, r.path, errdefs.ErrInvalid)
		}
	}
	if c.ImageRoot != "" && filepath.Clean(c.ImageRoot) == filepath.Clean(c.Root) {
		return fmt.Errorf("image store %q is the graph root: %w", c.ImageRoot, errdefs.ErrInvalid)
	}
	return nil
}

// SeveralStatesError says that a graph root holds the state of more than one driver and
// nobody said which one is meant. Its kind is errdefs.ErrInvalid.
type SeveralStatesError struct {
	// Root is the graph root, Drivers are those with state in it, sorted.
	Root    string
	Drivers []string
}

// Error is the sentence that the other engines' users know (cli-reference, 2.3).
func (e *SeveralStatesError) Error() string {
	return fmt.Sprintf("%s contains several valid graphdrivers: %s; Please cleanup or explicitly choose storage driver (-s <DRIVER>)",
		e.Root, strings.Join(e.Drivers, ", "))
}

// Unwrap returns the kind.
func (e *SeveralStatesError) Unwrap() error { return errdefs.ErrInvalid }

// Hint names the option.
func (e *SeveralStatesError) Hint() string {
	return "say which with --storage-driver, or set driver in storage.conf: " + strings.Join(e.Drivers, " or ")
}

// ForeignStateError says that a graph root holds layers of drivers that are used only when
// they are asked for by name, such as plugins, and nothing else; another driver beside them
// would make them disappear. Its kind is errdefs.ErrInvalid.
type ForeignStateError struct {
	// Root is the graph root, Drivers are those with layers in it, sorted.
	Root    string
	Drivers []string
}

// Error names them.
func (e *ForeignStateError) Error() string {
	return fmt.Sprintf("%s holds layers of the storage driver %s, which is used only when it is asked for by name", e.Root, strings.Join(e.Drivers, ", "))
}

// Unwrap returns the kind.
func (e *ForeignStateError) Unwrap() error { return errdefs.ErrInvalid }

// Hint names the option.
func (e *ForeignStateError) Hint() string {
	return "see them with --storage-driver " + e.Drivers[0] + ", or begin anew beside them with another driver's name"
}
