package strata

import (
	"github.com/stratastore/strata/internal/idmap"
)

// Mapping is a pair of lists of ID ranges; the zero value maps every ID to itself.
type Mapping = idmap.Mapping

// IDRange maps consecutive IDs of a container on to the host's.
type IDRange = idmap.Range

// Kind is what an object is.
type Kind int

// The kinds of object. Each has a name space of its own: the same ID or name may
// exist once in each.
const (
	KindLayer Kind = iota
	KindImage
	KindContainer
)

// String returns "layer", "image" or "container".
func (k Kind) String() string {
	switch k {
	case KindLayer:
		return "layer"
	case KindImage:
		return "image"
	case KindContainer:
		return "container"
	}
	return "object"
}

// Object is what the three kinds have in common.
type Object struct {
	Kind     Kind
	ID       string
	Names    []string
	Metadata string
	// ReadOnly is set for objects of additional stores.
	ReadOnly bool
}
