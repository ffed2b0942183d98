package archive

import (
	"cmp"
	"fmt"

	"github.com/stratastore/strata/errdefs"
)

// DefaultLimits are the caps where Limits has a zero field: far above what
// images hold, low enough to stop a bomb. gzip packs at most 1032 to 1, so
// MaxRatio catches the formats that have no such bound.
var DefaultLimits = Limits{
	MaxBytes:   1 << 40,
	MaxRatio:   2000,
	MaxEntries: 4 << 20,
	MaxDepth:   1024,
	MaxHeader:  4 << 20,
}

// ratioFrom is how many plain bytes may come before MaxRatio is looked at.
const ratioFrom = 64 << 20

// Names are remembered until the end of a tar. All together they may have as many bytes
// as nameBytes for each entry, and nameRoom more: far above what trees have, where a few thousand
// entries of a bomb would have gigabytes.
const (
	nameBytes = 512
	nameRoom  = 64 << 20
)

// maxHeader is what MaxHeader can be at most: a line of the tar-split holds it all, and those have
// a cap of their own (maxSplitLine).
const maxHeader = 32 << 20

// orDefault fills the zero fields.
func (l Limits) orDefault() Limits {
	return Limits{
		MaxBytes:   cmp.Or(l.MaxBytes, DefaultLimits.MaxBytes),
		MaxRatio:   cmp.Or(l.MaxRatio, DefaultLimits.MaxRatio),
		MaxEntries: cmp.Or(l.MaxEntries, DefaultLimits.MaxEntries),
		MaxDepth:   cmp.Or(l.MaxDepth, DefaultLimits.MaxDepth),
		MaxHeader:  min(cmp.Or(l.MaxHeader, DefaultLimits.MaxHeader), maxHeader),
	}
}

// limitError says which cap was reached.
func limitError(what string, limit int64) error {
	return fmt.Errorf("layer has more than %d %s: %w", limit, what, errdefs.ErrLimit)
}
