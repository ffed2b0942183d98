package volume

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/stratastore/strata/errdefs"
)

// DefaultDriver is the driver of volumes that name none.
const DefaultDriver = "local"

// Scope says where a volume of a driver exists.
type Scope string

// The scopes.
const (
	// ScopeLocal: on this host only.
	ScopeLocal Scope = "local"
	// ScopeGlobal: visible from all hosts, created once.
	ScopeGlobal Scope = "global"
)

// ParseScope reads a driver's word for its scope, in any letter case. Empty is local; ok
// is false for a word that is no scope, which counts as local too.
func ParseScope(word string) (scope Scope, ok bool) {
	switch s := Scope(strings.ToLower(word)); s {
	case ScopeLocal, ScopeGlobal:
		return s, true
	case "":
		return ScopeLocal, true
	}
	return ScopeLocal, false
}

// Info is what a driver knows of one of its volumes.
type Info struct {
	Name string
	// Mountpoint is where the data is; "" while it is nowhere.
	Mountpoint string
	// CreatedAt is zero if the driver does not know.
	CreatedAt time.Time
	// Status is the driver's own report, for people.
	Status map[string]any
}

// Driver keeps the data of volumes. All methods are safe for concurrent use and end
// early when their context does. Names are checked by the store, and by every driver
// again.
//
// A method that is asked about a volume that is not there fails with an
// errdefs.ErrNotFound, ErrNoSuchVolume best; one that can not know, because a server
// does not answer, with an ErrUnavailable.
type Driver interface {
	// Name is the driver's canonical name.
	Name() string
	// Create makes a volume, and returns the one that is there already.
	Create(ctx context.Context, name string, options map[string]string) (Info, error)
	// Remove deletes a volume with its data.
	Remove(ctx context.Context, name string) error
	// Get describes a volume.
	Get(ctx context.Context, name string) (Info, error)
	// List describes all volumes, in any order.
	List(ctx context.Context) ([]Info, error)
	// Path is where the volume's data is, "" while it is nowhere.
	Path(ctx context.Context, name string) (string, error)
	// Mount makes the data available to the user id and returns its path. One user may
	// mount several times.
	Mount(ctx context.Context, name, id string) (string, error)
	// Unmount takes back one Mount of the user id.
	Unmount(ctx context.Context, name, id string) error
	// Scope says where the driver's volumes exist; ScopeLocal when in doubt.
	Scope(ctx context.Context) Scope
}

// Sizer is a driver that can tell the bytes of a volume's data.
type Sizer interface {
	Size(ctx context.Context, name string) (int64, error)
}

// Restorer is a driver that forgets its users with its process. The store announces those
// who still hold a mount when it is opened.
type Restorer interface {
	// Restore counts n mounts of the user id without mounting anything.
	Restore(ctx context.Context, name, id string, n int) error
}

// Settler is a driver that can be told how many mounts a user has. The store does so when it
// is opened, where a process died while the driver was mounting or unmounting. Of a driver
// that is none, the user keeps a mount that may not be there, and takes it back as any other.
type Settler interface {
	// Settle leaves the user id with n mounts of the volume and takes back what is more. For
	// a Restorer it comes after all users are announced.
	Settle(ctx context.Context, name, id string, n int) error
}

// presence is what a driver's answer says about a volume.
type presence int

const (
	exists presence = iota
	gone
	unknown
)

// goneTexts are what plugins, which have no error codes, say about missing volumes.
var goneTexts = []string{"no such volume", "not found", "does not exist"}

// classify sorts a driver's answer about a volume. Failures to reach the driver never
// count as "gone", whatever their text says.
func classify(err error) presence {
	var network net.Error
	switch {
	case err == nil:
		return exists
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrNoSuchDriver), errors.As(err, &network),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unknown
	case errors.Is(err, errdefs.ErrNotFound):
		return gone
	}
	text := strings.ToLower(err.Error())
	for _, t := range goneTexts {
		if strings.Contains(text, t) {
			return gone
		}
	}
	return unknown
}
