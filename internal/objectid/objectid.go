// Package objectid makes and checks the IDs of images and containers, which
// become names of directories.
package objectid

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stratastore/strata/errdefs"
)

// maxID leaves room for what the store puts around an ID in one path component.
const maxID = 200

// New returns 64 random lower-case hex digits whose first 12 are not all decimal
// (on-disk format, 2.1): a short form would look like a number to the engines.
func New() string {
	for {
		var b [32]byte
		_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
		id := hex.EncodeToString(b[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}

// Validate refuses what must not become a path: empty, too long, a leading dot,
// slash, NUL, newline and other control characters, the endings of the record
// and lock files that lie beside the objects; and what is not UTF-8, which its
// record would not give back. The kind ("image") is for the error, an errdefs.ErrInvalid.
func Validate(kind, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%s ID is empty: %w", kind, errdefs.ErrInvalid)
	case len(id) > maxID:
		return fmt.Errorf("%s ID of %d bytes is too long: %w", kind, len(id), errdefs.ErrInvalid)
	case id[0] == '.' || strings.ContainsFunc(id, isBad), !utf8.ValidString(id),
		strings.HasSuffix(id, ".json"), strings.HasSuffix(id, ".lock"):
		return fmt.Errorf("%s ID %q: %w", kind, id, errdefs.ErrInvalid)
	}
	return nil
}

func isBad(r rune) bool { return r == '/' || r < ' ' || r == 0x7f }

// ValidateNames refuses empty names and names with NUL or newline, which lists
// could not show, and names that are not UTF-8, which records could not keep; the
// kind is for the error, an errdefs.ErrInvalid.
func ValidateNames(kind string, names []string) error {
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, "\x00\n") || !utf8.ValidString(n) {
			return errdefs.WithHint(fmt.Errorf("%s name %q: %w", kind, n, errdefs.ErrInvalid), "a name has at least one character, is one line, and UTF-8")
		}
	}
	return nil
}

// ValidateText refuses text that is not UTF-8: JSON has no way to keep it, and would
// put other characters in its place. What it is ("metadata") is for the error, an
// errdefs.ErrInvalid.
func ValidateText(what, text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	return errdefs.WithHint(fmt.Errorf("%s that is not UTF-8: %w", what, errdefs.ErrInvalid), "bytes of any kind can be attached as a data item: `strata help set-image-data`")
}

// Unique returns names without repetitions, keeping the first of each.
func Unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// Without returns names without those that are gone, which need not be there.
func Without(names []string, gone ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(gone, n) })
}
