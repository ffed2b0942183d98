package layer

import (
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
)

// MountOptions describe one mount of a layer.
type MountOptions struct {
	// Mapping, when not empty, asks for an ID-shifted view. It is ignored when the
	// layer's content is shifted that way already.
	Mapping idmap.Mapping
	// MountLabel replaces the layer's own when not empty.
	MountLabel string
	// Options replace the configured mount options when not nil.
	Options []string
	// ReadOnly mounts without a place for changes; the only way for layers of
	// additional stores.
	ReadOnly bool
	// Volatile asks the kernel to skip syncing where it can.
	Volatile bool
	// Borrower, when not "", is saved with the count until the Unmount of the same one, so that
	// TakeBack knows whether the mount is counted.
	Borrower string
}

// driverOptions turns them into the driver's for a layer with that record.
func (o MountOptions) driverOptions(r *Record) graphdriver.MountOptions {
	d := graphdriver.MountOptions{
		Mapping: o.Mapping, MountLabel: o.MountLabel, Options: o.Options,
		ReadOnly: o.ReadOnly, Volatile: o.Volatile,
	}
	if d.Mapping.Equal(r.Mapping()) {
		d.Mapping = idmap.Mapping{}
	}
	if d.MountLabel == "" {
		d.MountLabel = r.MountLabel
	}
	return d
}

// UnmountOptions describe one unmount.
type UnmountOptions struct {
	// Force unmounts whatever the count is.
	Force bool
	// Strict makes unmounting a layer that is not mounted an ErrNotMounted instead of success.
	Strict bool
	// Borrower is the one of the Mount.
	Borrower string
}
