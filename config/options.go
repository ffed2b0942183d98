package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// envOptions replaces all driver options when it is set, even to nothing.
const envOptions = "STORAGE_OPTS"

// legacyKeys are the options that once stood without a driver's table, in the order in which engines pass them on.
var legacyKeys = []string{"size", "inodes", "mount_program", "mountopt", "ignore_chown_errors", "skip_mount_home", "force_mask", "use_composefs"}

// DriverOptions are the options for the drivers as "key=value" and
// "driver.key=value", unprefixed ones first, with one "imagestore=PATH" per
// additional image store and one "additionallayerstore=PATH" per layer store
// (on-disk format, 8.4). Those of AddDriverOptions come last.
func (c *Config) DriverOptions() []string {
	if v, set := c.env.Getenv(envOptions); set {
		return append(splitOptions(v), c.added.options...)
	}
	return append(c.fileOptions(), c.added.options...)
}

// AddDriverOptions puts options from the command line behind the others; option is
// the option's name for messages ("--storage-opt").
func (c *Config) AddDriverOptions(option string, options []string) {
	c.added = addedOptions{from: option, options: slices.Clone(options)}
}

// addedOptions are driver options from the command line.
type addedOptions struct {
	from    string
	options []string
}

// optionsKey stands for all driver options at once where they do not come from files alone.
const optionsKey = "driver-options"

// optionsSetting tells of driver options from the environment and the command line, which
// have no key of their own. ok is false when there are none.
func (c *Config) optionsSetting() (s Setting, ok bool) {
	s.Key = optionsKey
	if list := c.fileOptions(); len(list) > 0 {
		s.set(list, Origin{Source: FromFile, Name: optionsTable + "*"})
	}
	env, set := c.env.Getenv(envOptions)
	if set {
		s.set(splitOptions(env), Origin{Source: FromEnvironment, Name: envOptions})
	}
	if len(c.added.options) > 0 {
		s.set(c.DriverOptions(), Origin{Source: FromCommandLine, Name: c.added.from})
	}
	return s, set || len(c.added.options) > 0
}

// fileOptions are the driver options that files set.
func (c *Config) fileOptions() []string {
	var opts []string
	for _, k := range legacyKeys {
		opts = c.option(opts, k, optionsTable+k)
	}
	for _, path := range c.AdditionalImageStores() {
		opts = append(opts, "imagestore="+path)
	}
	for _, path := range lookup[[]string](c, optionsTable+"additionallayerstores") {
		opts = append(opts, "additionallayerstore="+path)
	}
	for _, t := range driverTables() {
		if d := c.Driver(); d != "" && d != t.driver {
			continue
		}
		for _, k := range t.keys {
			opts = c.option(opts, t.driver+"."+k, optionsTable+t.driver+"."+k)
		}
	}
	return opts
}

// optionNote says why a key that makes a driver option makes none now, or "".
func (c *Config) optionNote(name string) string {
	rest, ok := strings.CutPrefix(name, optionsTable)
	if !ok || c.settings[name].Origin.Source == FromDefault {
		return ""
	}
	driver, _, inTable := strings.Cut(rest, ".")
	switch {
	case inTable && !slices.ContainsFunc(driverTables(), func(t driverTable) bool { return t.driver == driver }):
		return ""
	case inTable && c.Driver() != "" && c.Driver() != driver:
		return "not for the driver in use, " + c.Driver()
	case !inTable && !slices.Contains(slices.Concat(legacyKeys, []string{"additionalimagestores", "additionallayerstores"}), rest):
		return ""
	}
	if _, set := c.env.Getenv(envOptions); set {
		return "not in effect: $" + envOptions + " replaces all driver options"
	}
	return ""
}

func (c *Config) option(opts []string, prefix, name string) []string {
	if v := lookup[string](c, name); v != "" {
		return append(opts, prefix+"="+v)
	}
	return opts
}

func splitOptions(list string) []string {
	opts := []string{}
	for _, o := range strings.Split(list, ",") {
		if o = strings.TrimSpace(o); o != "" {
			opts = append(opts, o)
		}
	}
	return opts
}

// Sync is "filesystem" (the default) or "none": strata's own setting, else the
// one of the configured driver's table.
func (c *Config) Sync() string {
	if key := c.syncKey(); key != "" {
		return lookup[string](c, key)
	}
	return "filesystem"
}

// syncKey is the key that decides about Sync, or "".
func (c *Config) syncKey() string {
	for _, t := range []string{"strata", c.Driver()} {
		if s, ok := c.settings[optionsTable+t+".sync"]; ok && s.Origin.Source != "" {
			return s.Key
		}
	}
	return ""
}

// Limits are the caps on what a layer may hold; 0 means the built-in default.
type Limits struct {
	LayerSize        int64 // bytes of the uncompressed tar
	CompressionRatio int64 // uncompressed bytes for each compressed one
	Entries          int64 // entries of the tar
	Depth            int   // components of a name
	HeaderSize       int64 // bytes of one entry's extended headers
}

// Limits returns the caps of [storage.options.strata]. Load has checked them.
func (c *Config) Limits() Limits {
	n := func(name string) int64 {
		v, _ := parseSize(lookup[string](c, optionsTable+"strata."+name))
		return v
	}
	return Limits{
		LayerSize:        n("max_layer_size"),
		CompressionRatio: n("max_compression_ratio"),
		Entries:          n("max_entries"),
		Depth:            int(n("max_depth")),
		HeaderSize:       n("max_header_size"),
	}
}

// MinFree is how many bytes of the graph root's file system have to stay free when
// a layer comes in; 0: none. Load has checked it.
func (c *Config) MinFree() int64 {
	n, _ := parseSize(lookup[string](c, optionsTable+"strata.min_free_space"))
	return n
}

func (c *Config) validateOptions() error {
	for _, k := range c.order {
		name, ok := strings.CutPrefix(k, optionsTable+"strata.")
		if !ok || !strings.HasPrefix(name, "max_") && !strings.HasPrefix(name, "min_") {
			continue
		}
		if _, err := parseSize(lookup[string](c, k)); err != nil {
			return fmt.Errorf("%s: %s: %w", c.origin(k), name, err)
		}
	}
	if key := c.syncKey(); !slices.Contains([]string{"", "none", "filesystem"}, c.Sync()) {
		return fmt.Errorf("%s: %q: expected \"filesystem\" or \"none\": %w", c.origin(key), c.Sync(), errdefs.ErrInvalid)
	}
	return nil
}

// parseSize reads a number with an optional binary unit: "10", "4K", "2GiB", "1T". "" is 0.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(strings.ToUpper(strings.TrimSpace(text)), "IB")
	if digits == "" && text == "" {
		return 0, nil
	}
	shift := 0
	if i := strings.IndexAny(digits, "KMGT"); i >= 0 && i == len(digits)-1 {
		shift = 10 * (strings.IndexByte("KMGT", digits[i]) + 1)
		digits = digits[:i]
	}
	n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("%w: %q is not a size such as \"10\", \"64M\" or \"2GiB\"", errdefs.ErrInvalid, text)
	}
	return n << shift, nil
}
