// Package bigdata keeps the named data items of layers, images and containers:
// one file per item in the object's directory (on-disk format, 2.7).
//
// Which items an object has, their sizes and digests stand in the object's record,
// as its Inventory; saving it is the caller's business. The directory and the
// object's ID have been validated by the caller; keys come from strangers and
// are validated here.
package bigdata

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/stratastore/strata/errdefs"
)

// The errors that callers tell apart; their texts are the other engines'.
var (
	// ErrBadKey: the key can not name a data item.
	ErrBadKey = errdefs.New(errdefs.ErrInvalid, "not a valid name for a big data item")
	// ErrSizeUnknown: the object's record has no size for the item.
	ErrSizeUnknown = errdefs.New(errdefs.ErrNotFound, "size is not known")
	// ErrDigestUnknown: the object's record has no digest for the item.
	ErrDigestUnknown = errdefs.New(errdefs.ErrNotFound, "could not compute digest of item")
)

// UserData is the directory that engines keep beside the items of images and
// containers (on-disk format, 7.6); it can not be an item of theirs.
const UserData = "userdata"

const (
	maxName    = 255 // NAME_MAX
	maxNewName = 239 // leaves room for what a temporary file puts around the name
)

// FileName returns the file name of the item called key (on-disk format, 2.7).
// Keys of lower-case letters, digits and dots are their own file name, other
// keys become "=" and their base64; but a key whose only other rune is its last
// one is kept as it is, because the engines' writers do so. It refuses, with
// ErrBadKey, keys that would leave the directory or do not fit into a file name.
func FileName(key string) (string, error) {
	name := key
	if needsEncoding(key) {
		name = "=" + base64.StdEncoding.EncodeToString([]byte(key))
	}
	switch {
	case key == "":
		return "", fmt.Errorf("empty key: %w", ErrBadKey)
	case name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return "", fmt.Errorf("key %q: %w", key, ErrBadKey)
	case len(name) > maxName:
		return "", fmt.Errorf("key %.40q… makes a file name of %d bytes: %w", key, len(name), ErrBadKey)
	}
	return name, nil
}

// needsEncoding reports whether a rune before the last one is outside of
// [0-9a-z.]. The last rune is not looked at: that is the engines' quirk.
func needsEncoding(key string) bool {
	at := strings.IndexFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '.'
	})
	if at < 0 {
		return false
	}
	_, size := utf8.DecodeRuneInString(key[at:])
	return at+size < len(key)
}

// Key is the other way round of FileName: the key of the item in a file of that name. ok is
// false for a name that no item has.
func Key(fileName string) (key string, ok bool) {
	key = fileName
	if text, encoded := strings.CutPrefix(fileName, "="); encoded {
		if data, err := base64.StdEncoding.DecodeString(text); err == nil {
			key = string(data)
		}
	}
	name, err := FileName(key)
	return key, err == nil && name == fileName
}
