package container

import (
	"encoding/json"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/layer"
)

// CreateOptions describe a new container record. Everything is optional.
type CreateOptions struct {
	// ID is random when empty.
	ID ID
	// Names must not be in use by other containers.
	Names []string
	// Metadata is free text.
	Metadata string
	// MountLabel and ProcessLabel are SELinux labels.
	MountLabel, ProcessLabel string
	// MountOpts replace the configured mount options when not nil.
	MountOpts []string
	// Volatile mounts the layer without syncing.
	Volatile bool
	// BigData are the data items in order.
	BigData []BigDatum
	// Flags are added to those that the fields above make.
	Flags map[string]json.RawMessage
}

// BigDatum is one data item.
type BigDatum struct {
	Key  string
	Data []byte
}

// Place is what a container stands on, known once the locks are held.
type Place struct {
	// Image is what the container is made from, "" for none.
	Image image.ID
	// Layer is the container's writable layer.
	Layer layer.ID
	// Mapping is the container's ID mapping.
	Mapping idmap.Mapping
}
