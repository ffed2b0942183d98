package overlay

import (
	"strconv"

	"github.com/stratastore/strata/graphdriver"
)

// Status returns the facts that the other engines print, under their names.
func (d *driver) Status() []graphdriver.StatusItem {
	item := func(key string, yes bool) graphdriver.StatusItem {
		return graphdriver.StatusItem{Key: key, Value: strconv.FormatBool(yes)}
	}
	native := d.program == ""
	return []graphdriver.StatusItem{
		{Key: "Backing Filesystem", Value: d.backing.String()},
		item("Supports d_type", true),
		item("Native Overlay Diff", native && d.features.nativeDiff()),
		item("Using metacopy", native && d.features.metacopy()),
		item("Supports shifting", d.shifts()),
		item("Supports volatile", native && d.features.volatile()),
	}
}

// shifts is CanShift for mappings in general.
func (d *driver) shifts() bool { return d.CanShift(probeMapping()) }
