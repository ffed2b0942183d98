package graphdriver

import (
	"fmt"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// ID is a driver's opaque name of a layer. "" means none.
type ID string

// maxID leaves room for what drivers put around an ID in one path component.
const maxID = 200

// reserved are names that drivers use in their home (on-disk format, 1.1).
var reserved = map[ID]bool{"l": true, "staging": true, "tempdirs": true, "dir": true, "backingFsBlockDev": true}

// Validate refuses what must not become a path: empty, too long, a leading dot,
// slash, NUL, newline and other control characters, names that drivers use for themselves.
func (id ID) Validate() error {
	switch {
	case id == "":
		return fmt.Errorf("layer ID is empty: %w", errdefs.ErrInvalid)
	case len(id) > maxID:
		return fmt.Errorf("layer ID of %d bytes is too long: %w", len(id), errdefs.ErrInvalid)
	case id[0] == '.' || reserved[id]:
		return fmt.Errorf("layer ID %q: %w", string(id), errdefs.ErrInvalid)
	case strings.ContainsFunc(string(id), func(r rune) bool { return r == '/' || r < ' ' || r == 0x7f }):
		return fmt.Errorf("layer ID %q: %w", string(id), errdefs.ErrInvalid)
	}
	return nil
}
