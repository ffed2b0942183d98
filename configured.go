package strata

import (
	"slices"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/config"
	"github.com/stratastore/strata/graphdriver"
)

// ConfiguredOptions are the options of the store that a configuration names, the
// one that Podman, Buildah, Skopeo and CRI-O use with the same files:
//
//	cfg, err := config.Load(config.SystemEnv())
//	…
//	store, err := strata.Open(ctx, strata.ConfiguredOptions(cfg))
//
// They may be changed before Open. Logger and Registry are left to the caller.
func ConfiguredOptions(cfg *config.Config) Options {
	opts := Options{
		GraphRoot:       cfg.GraphRoot(),
		RunRoot:         cfg.RunRoot(),
		ImageStore:      cfg.ImageStore(),
		Driver:          cfg.Driver(),
		DriverPriority:  slices.Clone(cfg.DriverPriority()),
		DriverOptions:   slices.Clone(cfg.DriverOptions()),
		Transient:       cfg.TransientStore(),
		DisableVolatile: cfg.DisableVolatile(),
		DisableIDMap:    cfg.DisableIDMap(),
		Rootless:        cfg.Rootless(),
		Limits:          configuredLimits(cfg.Limits()),
		MinFree:         cfg.MinFree(),
	}
	opts.AutoUserns.User, opts.AutoUserns.MinSize, opts.AutoUserns.MaxSize = cfg.AutoUserns()
	if cfg.Sync() == "none" {
		opts.Sync = graphdriver.SyncNone
	}
	return opts
}

func configuredLimits(l config.Limits) archive.Limits {
	return archive.Limits{
		MaxBytes: l.LayerSize, MaxRatio: l.CompressionRatio, MaxEntries: l.Entries, MaxDepth: l.Depth, MaxHeader: l.HeaderSize,
	}
}
