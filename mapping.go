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
}

func (o MappingOptions) validate() error {
	if o.HostUIDs && len(o.UIDs) > 0 {
		return fmt.Errorf("host uid map specified along with UID mapping: %w", errdefs.ErrInvalid)
	}
	if o.HostGIDs && len(o.GIDs) > 0 {
		return fmt.Errorf("host gid map specified along with GID mapping: %w", errdefs.ErrInvalid)
	}
	return nil
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

// onParent returns the mapping that the files of a new layer on top of parent are
// written with: none when the driver shifts owners while mounting (on-disk format,
// 4.7). The zero Layer stands for no parent. It is an errdefs.ErrUnsupported when
// the parent's files have other owners than m asks for and no shifting helps: that
// needs a copy of the parent with other owners (4.6).
func (s *Store) onParent(parent layer.Layer, m Mapping) (Mapping, error) {
	shifts := m.Empty() || s.shifts(m)
	switch {
	case parent.ID != "" && parent.Mapping().Equal(m):
		return m, nil
	case shifts && (parent.ID == "" || parent.Mapping().Empty()):
		return Mapping{}, nil
	case parent.ID == "":
		return m, nil
	}
	return Mapping{}, errdefs.WithHint(
		fmt.Errorf("the files of layer %s have other owners than the wanted ID mapping, and making a copy with other owners: %w", parent.ID, errdefs.ErrUnsupported),
		"use the overlay driver on a kernel with ID-mapped mounts, or the mapping that the layer was stored with")
}

// shifts reports whether the driver can shift owners by m while mounting.
func (s *Store) shifts(m Mapping) bool {
	shifter, ok := s.driver.get().(graphdriver.Shifter)
	return ok && shifter.CanShift(m)
}
