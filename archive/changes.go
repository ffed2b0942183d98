package archive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stratastore/strata/internal/idmap"
)

// String returns the word that the command line prints: "Add", "Modify" or "Delete".
func (k ChangeKind) String() string {
	switch k {
	case Modified:
		return "Modify"
	case Added:
		return "Add"
	case Deleted:
		return "Delete"
	}
	return fmt.Sprintf("ChangeKind(%d)", int(k))
}

// String returns the kind and the path quoted as a Go string: Modify "/etc/passwd".
func (c Change) String() string { return c.Kind.String() + " " + strconv.Quote(c.Path) }

// CompareOptions say how two trees are compared. The zero value is right for
// trees without ID maps.
type CompareOptions struct {
	// Mapping is the newer tree's, BaseMapping the older one's: owners are compared
	// as the container sees them. An owner outside of its mapping equals only the
	// same unmapped owner.
	Mapping, BaseMapping idmap.Mapping
	// TrustWholeSeconds takes two regular files for the same if their attributes are
	// equal and their times agree to the second, although one or both of the times
	// have no nanoseconds and so can not tell (on-disk format, 6.4; docker layers,
	// B.8). Without it such files are read and compared byte for byte.
	TrustWholeSeconds bool
}

// sortChanges puts changes into the one order of strata's lists and diffs: by
// path, byte by byte. A directory so comes before everything inside of it.
func sortChanges(changes []Change) {
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
}
