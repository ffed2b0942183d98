package image

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// CreateOptions describe a new image. Everything is optional.
type CreateOptions struct {
	// ID is random when empty.
	ID ID
	// Names must not be in use by other images, unless MoveNames.
	Names []string
	// MoveNames takes the names from the images that have them, in the same save.
	MoveNames bool
	// NamesHistory goes into the record as it is; see History. Storing an image under
	// names for good sets it to History(nil, Names), as the engines' records have it.
	NamesHistory []string
	// TopLayer is the ID, name or unique prefix of the image's uppermost layer, ""
	// for an image without layers. The store looks it up.
	TopLayer string
	// Created is the creation time in the image's config; zero means now.
	Created time.Time
	// Digest finds the image; when empty, the digest of the first manifest item does.
	Digest digest.Digest
	// Metadata is free text.
	Metadata string
	// BigData are the data items in order; they are on disk before the record is.
	BigData []BigDatum
	// Flags are kept as they are.
	Flags map[string]json.RawMessage
}

// BigDatum is one data item.
type BigDatum struct {
	// Key names the item; see internal/bigdata for the rules.
	Key string
	// Data is the item's bytes.
	Data []byte
	// Digest is recorded for the item; when empty it is computed: the manifest digest
	// for manifest items, else SHA-256.
	Digest digest.Digest
}
