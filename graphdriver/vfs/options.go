package vfs

import (
	"github.com/stratastore/strata/graphdriver"
)

// settings are the driver's options, parsed (on-disk format, 8.4).
type settings struct {
	// ignoreChownErrors: "ignore_chown_errors", keep going when an owner can not be set.
	ignoreChownErrors bool
	// sync: "sync", by default the store's.
	sync graphdriver.SyncMode
}

func parse(cfg graphdriver.Config) (settings, error) {
	s := settings{sync: cfg.Sync}
	err := graphdriver.SetOptions(Name, cfg.Options, graphdriver.Setters{
		"ignore_chown_errors": func(v string) (err error) {
			s.ignoreChownErrors, err = graphdriver.ParseBool(v)
			return err
		},
		"sync": func(v string) (err error) {
			s.sync, err = graphdriver.ParseSync(v)
			return err
		},
	})
	return s, err
}
