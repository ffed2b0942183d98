// Package idmap translates numeric owners between a container and the host.
//
// Every owner that strata writes to disk or to a tar passes through one Mapping
// value, so no other code asks who it runs as. The zero Mapping is the identity.
package idmap

import (
	"encoding/json"
	"fmt"

	"github.com/stratastore/strata/errdefs"
)

// Range maps Size consecutive IDs from ContainerID on to HostID on. Its JSON
// form is the one of the store's records (on-disk format, 2.2); members that
// strata does not know are kept byte for byte.
type Range struct {
	ContainerID int
	HostID      int
	Size        int
	extra       map[string]json.RawMessage
}

// Mapping is a pair of range lists. The zero value maps every ID to itself.
// It is a value: copies are independent as long as the slices are not written.
type Mapping struct {
	UIDs []Range
	GIDs []Range
}

// ErrUnmapped reports an ID outside of every range.
var ErrUnmapped = errdefs.New(errdefs.ErrInvalid, "ID is not mapped")

// Empty reports whether m is the identity.
func (m Mapping) Empty() bool { return len(m.UIDs) == 0 && len(m.GIDs) == 0 }

// ToHost translates container-side owners to host-side ones; ErrUnmapped names the first that has no range.
func (m Mapping) ToHost(uid, gid int) (hostUID, hostGID int, err error) {
	if hostUID, err = translate(m.UIDs, uid, "UID", true); err != nil {
		return 0, 0, err
	}
	hostGID, err = translate(m.GIDs, gid, "GID", true)
	return hostUID, hostGID, err
}

// ToContainer translates host-side owners to container-side ones.
func (m Mapping) ToContainer(uid, gid int) (ctrUID, ctrGID int, err error) {
	if ctrUID, err = translate(m.UIDs, uid, "UID", false); err != nil {
		return 0, 0, err
	}
	ctrGID, err = translate(m.GIDs, gid, "GID", false)
	return ctrUID, ctrGID, err
}

// RootPair returns the host-side owners of the container's root; 0, 0 for the identity.
func (m Mapping) RootPair() (uid, gid int, err error) { return m.ToHost(0, 0) }

// Equal reports whether both mappings have the same ranges in the same order.
func (m Mapping) Equal(o Mapping) bool { return equal(m.UIDs, o.UIDs) && equal(m.GIDs, o.GIDs) }

func equal(a, b []Range) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ContainerID != b[i].ContainerID || a[i].HostID != b[i].HostID || a[i].Size != b[i].Size {
			return false
		}
	}
	return true
}

func translate(ranges []Range, id int, kind string, toHost bool) (int, error) {
	if len(ranges) == 0 {
		return id, nil
	}
	for _, r := range ranges {
		from, to := r.ContainerID, r.HostID
		if !toHost {
			from, to = to, from
		}
		if id >= from && id-from < r.Size {
			return to + id - from, nil
		}
	}
	return 0, fmt.Errorf("%w: %s %d", ErrUnmapped, kind, id)
}

// MarshalJSON writes the record form: container_id, host_id, size, then unknown members.
func (r Range) MarshalJSON() ([]byte, error) {
	b := fmt.Appendf(nil, `{"container_id":%d,"host_id":%d,"size":%d`, r.ContainerID, r.HostID, r.Size)
	for _, k := range sortedKeys(r.extra) {
		name, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		b = append(append(append(append(b, ','), name...), ':'), r.extra[k]...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads the record form and keeps unknown members.
func (r *Range) UnmarshalJSON(data []byte) error {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	*r = Range{}
	for key, dst := range map[string]*int{"container_id": &r.ContainerID, "host_id": &r.HostID, "size": &r.Size} {
		if raw, ok := members[key]; ok {
			if err := json.Unmarshal(raw, dst); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			delete(members, key)
		}
	}
	if len(members) > 0 {
		r.extra = members
	}
	return nil
}
