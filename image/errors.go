package image

import (
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/bigdata"
)

// The errors that callers tell apart; their texts are the other engines'.
var (
	// ErrUnknown: no image has this ID, name or unique prefix of an ID.
	ErrUnknown = errdefs.New(errdefs.ErrNotFound, "image not known")
	// ErrDuplicateID: an image with this ID exists.
	ErrDuplicateID = errdefs.New(errdefs.ErrExists, "that ID is already in use")
	// ErrDuplicateName: an image with this name exists.
	ErrDuplicateName = errdefs.New(errdefs.ErrExists, "that name is already in use")
	// ErrUsedByContainer: a container was made from the image.
	ErrUsedByContainer = errdefs.New(errdefs.ErrInUse, "image is in use by a container")
	// ErrSizeUnknown: the record has no such data item.
	ErrSizeUnknown = bigdata.ErrSizeUnknown
	// ErrDigestUnknown: the record has no such data item.
	ErrDigestUnknown = bigdata.ErrDigestUnknown
	// ErrInvalidDataName: the key can not name a data item.
	ErrInvalidDataName = bigdata.ErrBadKey
)
