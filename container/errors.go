package container

import (
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/bigdata"
)

// The errors that callers tell apart; their texts are the other engines'.
var (
	// ErrUnknown: no container has this ID, name, layer or unique prefix of an ID.
	ErrUnknown = errdefs.New(errdefs.ErrNotFound, "container not known")
	// ErrDuplicateID: a container with this ID exists.
	ErrDuplicateID = errdefs.New(errdefs.ErrExists, "that ID is already in use")
	// ErrDuplicateName: a container with this name exists.
	ErrDuplicateName = errdefs.New(errdefs.ErrExists, "that name is already in use")
	// ErrSizeUnknown: the record has no such data item.
	ErrSizeUnknown = bigdata.ErrSizeUnknown
	// ErrDigestUnknown: the record has no such data item.
	ErrDigestUnknown = bigdata.ErrDigestUnknown
	// ErrInvalidDataName: the key can not name a data item.
	ErrInvalidDataName = bigdata.ErrBadKey
)
