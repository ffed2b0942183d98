package strata

import (
	"fmt"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/layer"
)

// MappingOptions say which ID mapping a new layer or container gets. What counts,
// for UIDs and GIDs apart: Host means none; a list means that list; else the
// parent's mapping, or for an object without a parent the store's default.
type MappingOptions struct {
	// HostUIDs and HostGIDs ask for the host's own IDs.
	HostUIDs, HostGIDs bool
	// UIDs and GIDs are explicit mappings.
	UIDs, GIDs []IDRange
	// Auto, when not nil, asks for ranges of IDs that no container of the store has; for
	// containers only. UIDs and GIDs are then parts of the mapping that are fixed
	// beforehand.
	Auto *AutoMapping
}

func (o MappingOptions) validate() error {
	if o.HostUIDs && len(o.UIDs) > 0 {
		return fmt.Errorf("host uid map specified along with UID mapping: %w", errdefs.ErrInvalid)
	}
	if o.HostGIDs && len(o.GIDs) > 0 {
		return fmt.Errorf("host gid map specified along with GID mapping: %w", errdefs.ErrInvalid)
	}
	if o.Auto != nil && (o.HostUIDs || o.HostGIDs) {
		return fmt.Errorf("host IDs asked for along with an automatic mapping: %w", errdefs.ErrInvalid)
	}
	return nil
}

// set reports whether anything is asked for.
func (o MappingOptions) set() bool {
	return o.HostUIDs || o.HostGIDs || o.Auto != nil || len(o.UIDs)+len(o.GIDs) > 0
}

// resolve applies the rule; inherited is the parent's mapping or the store's default.
func (o MappingOptions) resolve(inherited Mapping) Mapping {
	return Mapping{
		UIDs: pick(o.HostUIDs, o.UIDs, inherited.UIDs),
		GIDs: pick(o.HostGIDs, o.GIDs, inherited.GIDs),
	}
}

func pick(host bool, explicit, inherited []IDRange) []IDRange {
	switch {
	case host:
		return nil
	case len(explicit) > 0:
		return explicit
	default:
		return inherited
	}
}

// footing is how a new layer with some mapping stands on its parent.
type footing struct {
	// stored is the mapping that the files of the layer are written with: none when the
	// driver shifts owners while mounting (on-disk format, 4.7).
	stored Mapping
	// fits: the parent's files have the right owners, or get them by shifting. Otherwise
	// they have to be copied with other owners (4.6).
	fits bool
}

// onParent finds the footing on a parent; the zero Layer stands for none. It is an
// errdefs.ErrUnsupported when copies are needed that the driver does not make.
func (s *Store) onParent(parent layer.Layer, m Mapping) (footing, error) {
	shifts := m.Empty() || s.shifts(m)
	f := footing{stored: m, fits: true}
	if shifts {
		f.stored = Mapping{}
	}
	switch {
	case parent.ID == "":
		return f, nil
	case parent.Mapping().Equal(m):
		return footing{stored: m, fits: true}, nil
	case shifts && parent.Mapping().Empty():
		return f, nil
	}
	f.fits = false
	if s.layers.Reowns() {
		return f, nil
	}
	return f, errdefs.WithHint(
		fmt.Errorf("the files of layer %s have other owners than the wanted ID mapping, and driver %s makes no copies with other owners: %w",
			parent.ID, s.DriverName(), errdefs.ErrUnsupported),
		"use the overlay driver on a kernel with ID-mapped mounts, or the mapping that the layer was stored with")
}

// shifts reports whether the driver can shift owners by m while mounting.
func (s *Store) shifts(m Mapping) bool {
	shifter, ok := s.driver.get().(graphdriver.Shifter)
	return ok && shifter.CanShift(m)
}
