package plugin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
)

// session is the driver of a server between Init and Cleanup. It is safe for concurrent use.
type session struct {
	open graphdriver.Init

	mu      sync.Mutex
	cfg     graphdriver.Config // of the last Init
	mapping idmap.Mapping      // of the last Init
	inited  bool
	driver  graphdriver.Driver // nil when nothing is held
	users   int                // running requests
	release bool               // Cleanup was asked for while requests ran
}

// start is Init. The same words again keep the driver as it is, with its counts; others
// replace it, unless it is at work.
func (s *session) start(ctx context.Context, cfg graphdriver.Config, mapping idmap.Mapping) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := s.inited && reflect.DeepEqual(cfg, s.cfg) && mapping.Equal(s.mapping)
	if s.driver != nil {
		if same {
			return nil
		}
		if s.users > 0 {
			return fmt.Errorf("driver is at work in %s: %w", s.cfg.Home, errdefs.ErrInUse)
		}
		if err := s.let(ctx); err != nil {
			return err
		}
	}
	d, err := s.open(ctx, cfg)
	if err != nil {
		return err
	}
	s.driver, s.cfg, s.mapping, s.inited = d, cfg, mapping, true
	return nil
}

// use returns the driver for one request, and the function that ends it. After a Cleanup the
// driver is opened again.
func (s *session) use(ctx context.Context) (graphdriver.Driver, idmap.Mapping, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inited {
		return nil, idmap.Mapping{}, nil, errNoInit
	}
	if s.driver == nil {
		d, err := s.open(ctx, s.cfg)
		if err != nil {
			return nil, idmap.Mapping{}, nil, err
		}
		s.driver = d
	}
	s.users++
	s.release = false
	return s.driver, s.mapping, sync.OnceFunc(func() { s.leave(context.WithoutCancel(ctx)) }), nil
}

// leave ends a request, and does the Cleanup that waited for it.
func (s *session) leave(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	if s.users > 0 || !s.release {
		return
	}
	if err := s.let(ctx); err != nil {
		s.cfg.Log().WarnContext(ctx, "clean up storage driver", "error", err)
	}
}

// end is Cleanup: now, or when the last running request has ended.
func (s *session) end(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.driver == nil {
		return nil
	}
	if s.users > 0 {
		s.release = true
		return nil
	}
	return s.let(ctx)
}

// let releases the driver; mu is held.
func (s *session) let(ctx context.Context) error {
	err := s.driver.Cleanup(ctx)
	if err == nil {
		s.driver, s.release = nil, false
	}
	return err
}

// config reads an Init.
func (o ServerOptions) config(q request) (graphdriver.Config, idmap.Mapping, error) {
	mapping := idmap.Mapping{UIDs: q.UIDMaps, GIDs: q.GIDMaps}
	home := filepath.Clean(q.Home)
	if q.Home == "" {
		home = o.Home
	}
	switch {
	case !filepath.IsAbs(home) || home == "/":
		return graphdriver.Config{}, mapping, fmt.Errorf("home %q is not an absolute path of a folder: %w", q.Home, errdefs.ErrInvalid)
	case o.Home != "" && home != o.Home:
		return graphdriver.Config{}, mapping, o.only(home)
	}
	options, err := graphdriver.OptionsFor(o.Driver, append(append([]string(nil), o.Options...), q.Opts...))
	if err != nil {
		return graphdriver.Config{}, mapping, err
	}
	cfg := graphdriver.Config{
		Root: filepath.Dir(home), Home: home, RunHome: filepath.Join(o.RunRoot, filepath.Base(home)),
		Options: options, Logger: o.Logger,
	}
	x := q.Strata
	if x == nil {
		return cfg, mapping, nil
	}
	if x.NoSync {
		cfg.Sync = graphdriver.SyncNone
	}
	if o.Home != "" && x.ImageHome != "" {
		return graphdriver.Config{}, mapping, o.only(x.ImageHome)
	}
	cfg.ImageHome, cfg.AdditionalHomes, cfg.Rootless, cfg.DisableIDMap = x.ImageHome, x.AdditionalHomes, x.Rootless, x.DisableIDMap
	if x.RunHome != "" && o.Home == "" {
		cfg.RunHome = x.RunHome
	}
	return cfg, mapping, absolute(append([]string{cfg.RunHome, cfg.ImageHome}, cfg.AdditionalHomes...))
}

// only refuses a home other than the server's own.
func (o ServerOptions) only(home string) error {
	return fmt.Errorf("home %s: this server has its layers in %s only: %w", home, o.Home, errdefs.ErrInvalid)
}

// absolute checks paths that a client sent; "" is none.
func absolute(paths []string) (err error) {
	for _, p := range paths {
		if p != "" && (!filepath.IsAbs(p) || filepath.Clean(p) == "/") {
			err = errors.Join(err, fmt.Errorf("%q is not an absolute path of a folder: %w", p, errdefs.ErrInvalid))
		}
	}
	return err
}
