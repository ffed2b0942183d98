package cli

import (
	"fmt"
	"path/filepath"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// storeOptions are the options of strata.Open for this command line.
func (s *session) storeOptions() (strata.Options, error) {
	cfg, err := s.config()
	if err != nil {
		return strata.Options{}, err
	}
	opts := strata.Options{
		DisableIDMap: cfg.DisableIDMap(),
		Rootless:     cfg.Rootless(),
		Logger:       s.log,
	}
	opts.Limits = limits(cfg)
	if cfg.Sync() == "none" {
		opts.Sync = graphdriver.SyncNone
	}
	if s.classic {
		return s.classicStore(opts, cfg)
	}
	return s.modernStore(opts, cfg)
}

func (s *session) modernStore(opts strata.Options, cfg *config.Config) (strata.Options, error) {
	opts.GraphRoot, opts.RunRoot, opts.ImageStore = cfg.GraphRoot(), cfg.RunRoot(), cfg.ImageStore()
	opts.Driver, opts.DriverPriority = cfg.Driver(), cfg.DriverPriority()
	opts.DriverOptions = append(cfg.DriverOptions(), s.globals.driverOpts...)
	opts.Transient, opts.DisableVolatile = cfg.TransientStore(), cfg.DisableVolatile()
	return opts, sameRoots(opts)
}

// classicStore takes what both passes ended with; the configuration fills in
// missing roots.
func (s *session) classicStore(opts strata.Options, cfg *config.Config) (strata.Options, error) {
	g := s.globals
	if g.graph == "" && g.run == "" && g.driver == "" && s.ignoreFile {
		return opts, fmt.Errorf("no storage runroot or graphroot specified: %w", strata.ErrIncompleteOptions)
	}
	if !s.ignoreFile {
		opts.DriverPriority, opts.DisableVolatile = cfg.DriverPriority(), cfg.DisableVolatile()
	}
	opts.Driver, opts.DriverOptions, opts.Transient = driverName(g.driver), g.driverOpts, g.transient
	for _, p := range []struct {
		to            *string
		from, instead string
	}{{&opts.GraphRoot, g.graph, cfg.GraphRoot()}, {&opts.RunRoot, g.run, cfg.RunRoot()}, {&opts.ImageStore, g.imageStore, ""}} {
		if p.from == "" {
			p.from = p.instead
		}
		if p.from == "" {
			continue
		}
		path, err := filepath.Abs(p.from)
		if err != nil {
			return opts, err
		}
		*p.to = path
	}
	return opts, sameRoots(opts)
}

// sameRoots refuses what makes the other engines hang.
func sameRoots(opts strata.Options) error {
	if opts.ImageStore != "" && opts.ImageStore == opts.GraphRoot {
		return errdefs.WithHint(fmt.Errorf("%w: image store %s is the graph root itself", errdefs.ErrInvalid, opts.ImageStore),
			"leave --image-store out, or name another directory")
	}
	return nil
}

func limits(cfg *config.Config) archive.Limits {
	l := cfg.Limits()
	return archive.Limits{
		MaxBytes: l.LayerSize, MaxRatio: l.CompressionRatio, MaxEntries: l.Entries, MaxDepth: l.Depth, MaxHeader: l.HeaderSize,
	}
}
