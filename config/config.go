package config

import (
	"fmt"
	"slices"
	"strings"
)

// Config is every setting in effect. It is not safe for concurrent changes; reading is.
type Config struct {
	// Files are the files that were read, in the order of merging.
	Files []string
	// Warnings are unknown keys, in the order met.
	Warnings []Warning
	// Ignored are tables of drivers that no engine has any more, in the order met. They are
	// passed over without a warning.
	Ignored []Warning

	env      Env
	settings map[string]*Setting
	known    map[string]key
	order    []string
	added    addedOptions
}

// Load reads all files and the environment. A file that does not parse or a value
// of the wrong type is an errdefs.ErrInvalid that names file and line; a file
// named by a variable that does not exist is an fs.ErrNotExist.
func Load(env Env) (*Config, error) {
	paths, err := env.files()
	if err != nil {
		return nil, err
	}
	return load(env, paths)
}

// LoadFile reads only the file at path instead of the ones that Load would find,
// and then the environment.
func LoadFile(env Env, path string) (*Config, error) {
	return load(env, []string{path})
}

func load(env Env, paths []string) (*Config, error) {
	c := &Config{env: env, settings: map[string]*Setting{}, known: map[string]key{}}
	for _, k := range schema() {
		c.known[k.name] = k
		c.order = append(c.order, k.name)
		c.settings[k.name] = &Setting{Key: k.name}
		if k.initial != nil {
			c.settings[k.name].set(k.initial, Origin{Source: FromDefault})
		}
	}
	c.defaultRoots()
	for _, path := range paths {
		p, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := c.merge(p); err != nil {
			return nil, err
		}
	}
	if err := c.resolveRoots(); err != nil {
		return nil, err
	}
	c.applyEnvironment()
	return c, c.validate()
}

func (c *Config) applyEnvironment() {
	const driver = "STORAGE_DRIVER"
	if v, set := c.env.Getenv(driver); set && v != "" {
		c.settings[topTable+"driver"].set(v, Origin{Source: FromEnvironment, Name: driver})
	}
	if s := c.settings[topTable+"driver"]; s.Value == "overlay2" {
		s.Value = "overlay" // the name that Docker uses for the same driver
	}
}

// Override sets a value from the command line; option is the option's name for
// messages ("--graph"). It panics on a key that the schema lacks: a programming error.
func (c *Config) Override(name, option string, value any) {
	c.settings[name].set(value, Origin{Source: FromCommandLine, Name: option})
}

// Settings returns the settings that have a value, in the order of the documentation. When
// the environment or the command line have driver options, a last one, "driver-options",
// tells of all of them.
func (c *Config) Settings() []Setting {
	var list []Setting
	for _, name := range c.order {
		if s := c.settings[name]; s.Origin.Source != "" {
			list = append(list, *s)
		}
	}
	if s, ok := c.optionsSetting(); ok {
		list = append(list, s)
	}
	return list
}

// Note returns a remark on a known key that has little or no effect, or "".
func (c *Config) Note(name string) string {
	if note := c.known[name].note; note != "" || name == optionsKey {
		return note
	}
	return c.optionNote(name)
}

// lookup returns the value of a key, or the zero value of T when it is not set.
func lookup[T any](c *Config, name string) T {
	v, _ := c.settings[name].Value.(T)
	return v
}

// Driver is the configured driver's name; "" means that one is chosen.
func (c *Config) Driver() string { return lookup[string](c, topTable+"driver") }

// GraphRoot is the absolute path of the graph root; "" for a user without a home directory
// when nothing else names one.
func (c *Config) GraphRoot() string { return lookup[string](c, topTable+"graphroot") }

// RunRoot is the absolute path of the run root.
func (c *Config) RunRoot() string { return lookup[string](c, topTable+"runroot") }

// ImageStore is the path of the separate image store, or "".
func (c *Config) ImageStore() string { return lookup[string](c, topTable+"imagestore") }

// DriverPriority is the configured order for choosing a driver; nil means the built-in one.
func (c *Config) DriverPriority() []string {
	return slices.Clone(lookup[[]string](c, topTable+"driver_priority"))
}

// TransientStore reports whether container records live in the run root.
func (c *Config) TransientStore() bool { return lookup[bool](c, topTable+"transient_store") }

// AdditionalImageStores are the graph roots of read-only stores, in order of lookup.
func (c *Config) AdditionalImageStores() []string {
	return slices.Clone(lookup[[]string](c, optionsTable+"additionalimagestores"))
}

// DisableVolatile reports whether the volatile mount option is never used.
func (c *Config) DisableVolatile() bool { return lookup[bool](c, optionsTable+"disable-volatile") }

// AutoUserns are the settings for automatic user namespaces.
func (c *Config) AutoUserns() (user string, minSize, maxSize uint32) {
	return lookup[string](c, optionsTable+"root-auto-userns-user"),
		lookup[uint32](c, optionsTable+"auto-userns-min-size"),
		lookup[uint32](c, optionsTable+"auto-userns-max-size")
}

// PullOptions are the settings for partial pulls; nil when there are none.
func (c *Config) PullOptions() map[string]string {
	return lookup[map[string]string](c, optionsTable+"pull_options")
}

// Rootless reports whether the process can not mount as the system's root.
func (c *Config) Rootless() bool { return c.env.Rootless }

// DisableIDMap reports whether ID-mapped mounts must not be used.
func (c *Config) DisableIDMap() bool {
	switch strings.ToLower(c.env.get("_CONTAINERS_OVERLAY_DISABLE_IDMAP")) {
	case "yes", "true", "1":
		return true
	}
	return false
}

// suggest finds the known key nearest to an unknown one, or "".
func (c *Config) suggest(name string) string {
	return nearest(name, c.order)
}

func (c *Config) origin(name string) string {
	return fmt.Sprintf("%s (%s)", name, c.settings[name].Origin)
}
