package layer

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/idmap"
)

// Record is one layer in layers.json or volatile-layers.json. The order of the
// fields is the order of the keys on disk (on-disk format, 2.3); members that are
// not here are kept by the record file.
type Record struct {
	ID         ID        `json:"id"`
	Names      []string  `json:"names,omitempty"`
	Parent     ID        `json:"parent,omitempty"`
	Metadata   string    `json:"metadata,omitempty"`
	MountLabel string    `json:"mountlabel,omitempty"`
	Created    time.Time `json:"created"`
	// BlobDigest and BlobSize (bytes) are of the blob as it was handed in; the size
	// means nothing without the digest.
	BlobDigest BlobDigest `json:"compressed-diff-digest,omitempty"`
	BlobSize   int64      `json:"compressed-size,omitempty"`
	// DiffID is there only when its creator verified it.
	DiffID    DiffID    `json:"diff-digest,omitempty"`
	TOCDigest TOCDigest `json:"toc-digest,omitempty"`
	// DiffSize is the length of the uncompressed tar in bytes; -1 is unknown
	// (layers that have only a TOCDigest).
	DiffSize    int64               `json:"diff-size,omitempty"`
	Compression archive.Compression `json:"compression,omitempty"`
	// UIDs and GIDs are the distinct owners in the tar, ascending, unmapped.
	UIDs []uint32 `json:"uidset,omitempty"`
	GIDs []uint32 `json:"gidset,omitempty"`
	// Flags are kept as they are, apart from FlagIncomplete.
	Flags map[string]json.RawMessage `json:"flags,omitempty"`
	// UIDMap and GIDMap: the files on disk are already shifted to these hosts' IDs.
	UIDMap []idmap.Range `json:"uidmap,omitempty"`
	GIDMap []idmap.Range `json:"gidmap,omitempty"`
	// BigDataNames are the data items' names in the order they were first set.
	BigDataNames []string `json:"big-data-names,omitempty"`
}

// Flags that mean something to this package (on-disk format, 2.8, 7.4).
const (
	FlagIncomplete     = "incomplete"
	FlagExpectedDiffID = "expected-layer-diffid"
)

// Incomplete reports whether the record marks an interrupted creation or
// deletion. Only the boolean true counts.
func (r *Record) Incomplete() bool { return string(r.Flags[FlagIncomplete]) == "true" }

// Mapping returns the record's ID maps.
func (r *Record) Mapping() idmap.Mapping { return idmap.Mapping{UIDs: r.UIDMap, GIDs: r.GIDMap} }

func (r *Record) setIncomplete() {
	flags := make(map[string]json.RawMessage, len(r.Flags)+1)
	for k, v := range r.Flags {
		flags[k] = v
	}
	flags[FlagIncomplete] = json.RawMessage("true")
	r.Flags = flags
}

func (r *Record) clearIncomplete() {
	flags := make(map[string]json.RawMessage, len(r.Flags))
	for k, v := range r.Flags {
		if k != FlagIncomplete {
			flags[k] = v
		}
	}
	r.Flags = flags
}

// setIngested notes what was learned from reading the layer's blob.
func (r *Record) setIngested(in archive.Ingested) {
	r.BlobDigest, r.BlobSize = BlobDigest(in.Blob), in.BlobSize
	r.DiffID, r.DiffSize = DiffID(in.Diff), in.DiffSize
	r.Compression = in.Compression
	r.UIDs, r.GIDs = slices.Clone(in.UIDs), slices.Clone(in.GIDs)
}

// Layer is a record with what the store knows about it. It is a value: it does
// not change when the store does. For the engines' JSON, marshal its Record.
type Layer struct {
	Record
	// ReadOnly: the record comes from an additional store.
	ReadOnly bool
	// MountPath and MountCount are the recorded mount state of all processes; ""
	// and 0 when not mounted. Store.Mounted also asks the kernel.
	MountPath  string
	MountCount int
	// Chain is the chain ID; "" when this layer or one below has no diff ID.
	Chain ChainID
}

func (l Layer) String() string { return fmt.Sprintf("layer %s", l.ID) }
