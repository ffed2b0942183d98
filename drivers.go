package strata

import (
	"fmt"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/overlay"
	"github.com/stratastore/strata/graphdriver/plugin"
	"github.com/stratastore/strata/graphdriver/vfs"
)

// DefaultRegistry returns a new table of the drivers that strata has; other names are looked
// for among the plugins, where Docker looks. Programs with drivers of their own add them to
// it and hand it to Open.
func DefaultRegistry() *graphdriver.Registry {
	r := graphdriver.NewRegistry()
	r.Find = plugin.Finder(plugin.DefaultPath(), plugin.ClientOptions{})
	for _, d := range []struct {
		name string
		init graphdriver.Init
	}{{"overlay", overlay.New}, {"vfs", vfs.New}} {
		if err := r.Register(d.name, d.init); err != nil {
			panic(fmt.Sprintf("built-in drivers: %v", err)) // two entries of one name above
		}
	}
	return r
}
