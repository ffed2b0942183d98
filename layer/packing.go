package layer

import (
	"fmt"

	"github.com/stratastore/strata/archive"
)

// Packing says how a diff is compressed. The zero value is Recorded.
type Packing struct {
	chosen      bool
	compression archive.Compression
}

// Recorded packs like the blob that the layer was made from, or not at all when
// it was not made from one. The bytes may differ from that blob's.
var Recorded = Packing{}

// PackedAs packs as c says. bzip2 and xz can not be written: errdefs.ErrUnsupported.
func PackedAs(c archive.Compression) Packing { return Packing{chosen: true, compression: c} }

// of returns the compression for a layer with that record.
func (p Packing) of(r *Record) archive.Compression {
	if p.chosen {
		return p.compression
	}
	return r.Compression
}

func (p Packing) String() string {
	if !p.chosen {
		return "recorded"
	}
	return fmt.Sprint(p.compression)
}
