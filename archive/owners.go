package archive

import (
	"maps"
	"slices"
)

// owners collects distinct user or group IDs.
type owners struct {
	seen map[uint32]struct{}
	last uint32 // most entries have the owner of the one before
	any  bool
}

func (o *owners) add(id uint32) {
	if o.any && o.last == id {
		return
	}
	if o.seen == nil {
		o.seen = map[uint32]struct{}{}
	}
	o.seen[id] = struct{}{}
	o.last, o.any = id, true
}

// sorted returns the IDs in ascending order, nil for none.
func (o *owners) sorted() []uint32 { return slices.Sorted(maps.Keys(o.seen)) }
