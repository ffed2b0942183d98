package container

import (
	"encoding/json"
	"time"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/objectid"
	"github.com/stratastore/strata/layer"
)

// ID names a container: 64 random lower-case hex digits; other texts without
// path characters work.
type ID string

// Validate refuses what must not become a path; the error is an errdefs.ErrInvalid.
func (id ID) Validate() error { return objectid.Validate("container", string(id)) }

// NewID returns a random ID.
func NewID() ID { return ID(objectid.New()) }

// Record is one container in containers.json (on-disk format, 2.5). The order of
// the fields is the order of the keys on disk; members that strata does not know
// stay in the file.
type Record struct {
	// ID is unique among the containers of the store.
	ID ID `json:"id"`
	// Names are unique among the containers of the store.
	Names []string `json:"names,omitempty"`
	// Image is what the container was made from, "" for none. It may be gone.
	Image image.ID `json:"image"`
	// Layer is the container's writable layer.
	Layer layer.ID `json:"layer"`
	// Metadata is free text of the creator.
	Metadata string `json:"metadata,omitempty"`
	// Inventory lists the data items: BigDataNames, BigDataSizes, BigDataDigests.
	bigdata.Inventory
	// Created is the time of creation.
	Created time.Time `json:"created"`
	// UIDMap and GIDMap are the container's ID mapping, used when mounting.
	UIDMap []idmap.Range `json:"uidmap,omitempty"`
	GIDMap []idmap.Range `json:"gidmap,omitempty"`
	// Flags hold MountLabel, ProcessLabel, Volatile and MountOpts, and what else
	// engines put there.
	Flags map[string]json.RawMessage `json:"flags,omitempty"`
}

// Container is a record and where it came from. Its JSON is the record's.
type Container struct {
	Record
	// Transient is set for containers whose record goes away with the run root.
	Transient bool `json:"-"`
}

// Mapping returns the container's ID mapping.
func (r Record) Mapping() idmap.Mapping { return idmap.Mapping{UIDs: r.UIDMap, GIDs: r.GIDMap} }

// MountLabel returns the SELinux label that the container's layer is mounted with.
func (r Record) MountLabel() string { return flag[string](r, flagMountLabel) }

// ProcessLabel returns the SELinux label of the container's processes.
func (r Record) ProcessLabel() string { return flag[string](r, flagProcessLabel) }

// Volatile reports whether the layer is mounted without syncing.
func (r Record) Volatile() bool { return flag[bool](r, flagVolatile) }

// MountOpts returns the mount options of the container, nil for the store's.
func (r Record) MountOpts() []string { return flag[[]string](r, flagMountOpts) }

// The flags that strata reads and writes.
const (
	flagMountLabel   = "MountLabel"
	flagProcessLabel = "ProcessLabel"
	flagVolatile     = "Volatile"
	flagMountOpts    = "MountOpts"
)

// flag decodes one flag; the zero value when it is absent or of another type,
// since flags are free for others to use.
func flag[T any](r Record, name string) T {
	var v T
	raw, ok := r.Flags[name]
	if !ok || json.Unmarshal(raw, &v) != nil {
		var zero T
		return zero
	}
	return v
}
