package volume

import (
	"maps"
	"slices"
	"time"
)

// Volume is a volume as the store reports it. It is the caller's own copy. The JSON keys
// are those of docker volume inspect; References is the store's own.
type Volume struct {
	CreatedAt  time.Time `json:",omitzero"`
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      Scope
	Status     map[string]any `json:",omitempty"`
	// References are the IDs of the holders, sorted.
	References []string `json:",omitempty"`
}

func (v Volume) clone() Volume {
	v.Labels, v.Options, v.Status = maps.Clone(v.Labels), maps.Clone(v.Options), maps.Clone(v.Status)
	v.References = slices.Clone(v.References)
	return v
}

// entry is what the store keeps of a volume in memory. Fields are guarded by Store.mu;
// whoever changes one holds the lock of the name as well.
type entry struct {
	record
	// acquired is set once the registry counts this volume for its driver.
	acquired bool
	// info is the driver's last description, for listings while the driver is down.
	info Info
	refs map[string]reference
}

// volume merges a driver's description with what the store knows.
func (e *entry) volume(info Info) Volume {
	v := Volume{
		Name: e.Name, Driver: e.Driver, Mountpoint: info.Mountpoint, CreatedAt: e.CreatedAt,
		Labels: maps.Clone(e.Labels), Options: maps.Clone(e.Options), Scope: e.Scope,
		Status: maps.Clone(info.Status), References: slices.Sorted(maps.Keys(e.refs)),
	}
	if v.Scope == "" {
		v.Scope = ScopeLocal
	}
	if v.CreatedAt.IsZero() {
		v.CreatedAt = info.CreatedAt
	}
	return v
}

// foreign is a volume of a driver that the store has no entry for.
func foreign(driver string, scope Scope, info Info) Volume {
	return Volume{
		Name: info.Name, Driver: driver, Scope: scope, Mountpoint: info.Mountpoint,
		CreatedAt: info.CreatedAt, Status: maps.Clone(info.Status),
	}
}
