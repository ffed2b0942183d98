package layer

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/objectid"
)

// ID is a layer's key in the store: for layers of images the one that the other
// engines derive (ImageLayerID), else random. Old stores hold other texts too.
// "" means none.
type ID string

// DiffID is the digest of a layer's uncompressed tar, byte for byte.
type DiffID digest.Digest

// ChainID identifies a layer together with everything below it (OCI image-spec,
// config.md, "Layer ChainID"). It is derived, never stored.
type ChainID digest.Digest

// BlobDigest is the digest of a layer's tar as it came, most often compressed.
type BlobDigest digest.Digest

// TOCDigest is the digest of a chunked blob's table of contents. It identifies a
// layer that has no DiffID.
type TOCDigest digest.Digest

func (d DiffID) String() string     { return string(d) }
func (c ChainID) String() string    { return string(c) }
func (d BlobDigest) String() string { return string(d) }
func (d TOCDigest) String() string  { return string(d) }
func (id ID) String() string        { return string(id) }

// reservedNames are entries of a <D>-layers directory that are no layer's.
var reservedNames = map[ID]bool{tempName: true}

// Validate refuses what must not become a path component: the rules of
// graphdriver.ID, since the ID names the layer's place in the driver too, the
// names of record files, locks and tar-splits that lie beside the layers' data,
// and what is not UTF-8, which the record would not give back.
func (id ID) Validate() error {
	if err := graphdriver.ID(id).Validate(); err != nil {
		return err
	}
	if reservedNames[id] || !utf8.ValidString(string(id)) || hasSuffix(id, ".json", ".lock", splitSuffix) {
		return fmt.Errorf("layer ID %q: %w", string(id), errdefs.ErrInvalid)
	}
	return nil
}

func hasSuffix(id ID, suffixes ...string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(string(id), s) })
}

// Validate refuses what is not a digest of a known algorithm.
func (d DiffID) Validate() error { return validDigest("diff ID", digest.Digest(d)) }

func validDigest(what string, d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%s %q: %w: %w", what, string(d), err, errdefs.ErrInvalid)
	}
	return nil
}

// NewID draws a random ID of 64 lower-case hex digits (on-disk format, 2.1).
func NewID() ID { return ID(objectid.New()) }

// ImageLayerID derives the ID under which every engine keeps an image's layer on
// top of parent ("" for the lowest), so that each finds what another stored
// (on-disk format, 7.1). It is not the chain ID.
func ImageLayerID(parent ID, diff DiffID) ID {
	if parent == "" {
		return ID(encoded(string(diff)))
	}
	return hashed(parent, encoded(string(diff)))
}

// encoded returns a digest without its algorithm. Unlike the digest package's, it
// does not panic for what is none.
func encoded(digest string) string { return digest[strings.IndexByte(digest, ':')+1:] }

func hashed(parent ID, component string) ID {
	return ID(digest.FromString(string(parent) + "+" + component).Encoded())
}
