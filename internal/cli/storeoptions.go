package cli

import (
	"fmt"
	"path/filepath"

	"github.com/stratastore/strata"
)

// storeOptions are the options of strata.Open for this command line.
func (s *session) storeOptions() (strata.Options, error) {
	cfg, err := s.config()
	if err != nil {
		return strata.Options{}, err
	}
	opts := strata.ConfiguredOptions(cfg)
	opts.Logger = s.log
	if s.classic {
		return s.classicStore(opts)
	}
	return opts, nil
}

// classicStore takes what both passes ended with; the configuration fills in
// missing roots.
func (s *session) classicStore(opts strata.Options) (strata.Options, error) {
	g := s.globals
	if g.graph == "" && g.run == "" && g.driver == "" && s.ignoreFile {
		return opts, fmt.Errorf("no storage runroot or graphroot specified: %w", strata.ErrIncompleteOptions)
	}
	if s.ignoreFile {
		opts.DriverPriority, opts.DisableVolatile = nil, false
	}
	opts.Driver, opts.DriverOptions, opts.Transient = driverName(g.driver), g.driverOpts, g.transient
	opts.ImageStore = ""
	for _, p := range []struct {
		to   *string
		from string
	}{{&opts.GraphRoot, g.graph}, {&opts.RunRoot, g.run}, {&opts.ImageStore, g.imageStore}} {
		if p.from == "" {
			continue
		}
		path, err := filepath.Abs(p.from)
		if err != nil {
			return opts, err
		}
		*p.to = path
	}
	return opts, nil
}
