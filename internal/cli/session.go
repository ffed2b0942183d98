package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/internal/pluginsock"
)

// session finds out which store is meant and opens it once.
type session struct {
	env     Env
	globals *globals
	classic bool
	log     *slog.Logger
	// warn tells of keys in the configuration that nobody knows.
	warn func(text string)

	// examine opens a store also when its lock is broken.
	examine bool
	// ignoreFile is set when the classic manner takes only the roots from the configuration.
	ignoreFile bool

	cfg    *config.Config
	cfgErr error
	loaded bool
	store  *strata.Store
}

func newSession(env Env, g *globals, classic bool) *session {
	return &session{env: env, globals: g, classic: classic, log: slog.New(slog.DiscardHandler), warn: func(string) {}}
}

// config reads the configuration once. In the modern manner the options of the
// command line are in it.
func (s *session) config() (*config.Config, error) {
	if s.loaded {
		return s.cfg, s.cfgErr
	}
	s.loaded = true
	s.cfg, s.cfgErr = config.Load(s.env.Config)
	if name := s.env.variable("CONTAINERS_STORAGE_CONF"); s.cfgErr != nil && name != "" {
		s.cfgErr = errdefs.WithHint(s.cfgErr, "$CONTAINERS_STORAGE_CONF names this file: correct the file, or unset the variable")
	}
	if s.cfg != nil {
		for _, w := range s.cfg.Warnings {
			s.warn(w.String())
		}
	}
	if s.cfgErr == nil && !s.classic {
		s.cfgErr = s.override(s.cfg)
	}
	if s.cfgErr == nil && s.cfg.GraphRoot() == "" && s.globals.graph == "" {
		s.cfgErr = usagef("set $HOME, or name a store with --graph and --run", "user %d has no home directory, and no store is named", s.env.Config.UID)
	}
	return s.cfg, s.cfgErr
}

// settle decides between the two passes of the classic manner where settings
// come from (command-line reference, 2.1), and makes the configured ones the
// defaults of the second pass. A broken configuration is reported by open.
func (s *session) settle() {
	g := s.globals
	if s.ignoreFile = g.chosen(); s.ignoreFile {
		return
	}
	cfg, err := s.config()
	if err != nil {
		return
	}
	g.graph, g.run, g.driver = cfg.GraphRoot(), cfg.RunRoot(), cfg.Driver()
	g.driverOpts = cfg.DriverOptions()
	if g.imageStore == "" {
		g.imageStore = cfg.ImageStore()
	}
	g.transient = g.transient || cfg.TransientStore()
}

// override puts the modern manner's options over the configuration.
func (s *session) override(cfg *config.Config) error {
	g := s.globals
	for _, o := range []struct{ key, option, value string }{
		{"storage.graphroot", "--graph", g.graph},
		{"storage.runroot", "--run", g.run},
		{"storage.imagestore", "--image-store", g.imageStore},
	} {
		if o.value == "" {
			continue
		}
		path, err := filepath.Abs(o.value)
		if err != nil {
			return fmt.Errorf("%s: %w", o.option, err)
		}
		cfg.Override(o.key, o.option, path)
	}
	if g.driver != "" {
		cfg.Override("storage.driver", "--storage-driver", driverName(g.driver))
	}
	if g.transient {
		cfg.Override("storage.transient_store", "--transient-store", true)
	}
	cfg.AddDriverOptions("--storage-opt", g.driverOpts)
	return nil
}

// driverName takes Docker's name of the overlay driver for the driver.
func driverName(name string) string {
	if name == "overlay2" {
		return "overlay"
	}
	return name
}

// open opens the store once and keeps it for the session.
func (s *session) open(ctx context.Context) (*strata.Store, error) {
	if s.store != nil {
		return s.store, nil
	}
	opts, err := s.storeOptions()
	if err != nil {
		return nil, &openError{err}
	}
	opts.Registry = s.registry()
	if s.classic && unknownDriver(ctx, opts.Registry, opts.Driver) {
		return nil, fmt.Errorf("failed to GetDriver graph %s %s: %w", opts.Driver, opts.GraphRoot, graphdriver.ErrNotSupported)
	}
	opts.Examine = s.examine
	if s.store, err = strata.Open(ctx, opts); err != nil {
		return nil, &openError{err}
	}
	return s.store, nil
}

// registry is the table of drivers, with the plugins of this system.
func (s *session) registry() *graphdriver.Registry {
	r := strata.DefaultRegistry()
	r.Find = plugin.Finder(s.pluginPath(), plugin.ClientOptions{})
	return r
}

// pluginPath is where Docker looks for plugins.
func (s *session) pluginPath() pluginsock.Path {
	path := pluginsock.DefaultPath()
	for _, list := range [][]string{path.Sockets, path.Specs} {
		for i, dir := range list {
			list[i] = filepath.Join("/", s.env.Config.Root, dir)
		}
	}
	return path
}

// openError says that the store did not open, so that the arguments have no part in it.
type openError struct{ error }

func (e *openError) Unwrap() error { return e.error }

// unknownDriver reports whether a driver is named that the program does not have and no plugin is.
func unknownDriver(ctx context.Context, drivers *graphdriver.Registry, name string) bool {
	if !drivers.Outside(name) {
		return false
	}
	_, err := drivers.Find(ctx, name)
	return errors.Is(err, errdefs.ErrNotFound)
}

// close lets go of the store, also after a cancelled call.
func (s *session) close(ctx context.Context) error {
	if s.store == nil {
		return nil
	}
	store := s.store
	s.store = nil
	err := store.Close(context.WithoutCancel(ctx))
	if errors.Is(err, strata.ErrClosed) {
		return nil // the verb shut it down
	}
	return err
}
