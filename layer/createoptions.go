package layer

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/objectid"
)

// Datum is one named data item.
type Datum struct {
	Key  string
	Data []byte
}

// CreateOptions describe a new layer; the zero value is a nameless empty base layer.
type CreateOptions struct {
	// ID is drawn when empty.
	ID ID
	// Names must not be in use; repeated ones count once.
	Names []string
	// Parent may live in any store; "" none. Adopt takes it from the stage.
	Parent ID
	// Metadata is the creator's text.
	Metadata string
	// MountLabel is the SELinux label for mounting. Adopt takes it from the stage.
	MountLabel string
	// Created is now when zero.
	Created time.Time
	// Mapping: ownership on disk is shifted by it. Other than the parent's, it costs
	// copies of the parent's files, see StageOptions. Adopt takes it from the stage.
	Mapping idmap.Mapping
	// StorageOpt is for the driver ("size"). Adopt takes it from the stage.
	StorageOpt map[string]string
	// Image: a read-only layer of an image; recorded in the image store if there is
	// one. Adopt takes it from the stage.
	Image bool
	// Volatile: recorded in the run root if the store is transient.
	Volatile bool
	// Flags are kept in the record.
	Flags map[string]json.RawMessage
	// BigData are stored before the layer becomes complete.
	BigData []Datum
}

// record makes the new layer's record.
func (o *CreateOptions) record() Record {
	r := Record{
		ID: o.ID, Names: objectid.Unique(o.Names), Parent: o.Parent, Metadata: o.Metadata,
		MountLabel: o.MountLabel, Created: o.Created.UTC(), Flags: maps.Clone(o.Flags),
		UIDMap: o.Mapping.UIDs, GIDMap: o.Mapping.GIDs,
	}
	if r.ID == "" {
		r.ID = NewID()
	}
	if o.Created.IsZero() {
		r.Created = time.Now().UTC()
	}
	for _, d := range o.BigData {
		r.BigDataNames = append(r.BigDataNames, d.Key)
	}
	r.BigDataNames = objectid.Unique(r.BigDataNames)
	return r
}
