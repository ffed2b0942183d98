package graphdriver

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// imageStoreKey is the option that adds read-only stores; storage.conf's
// additionalimagestores turns into it (on-disk format, 8.3). Every driver knows it, so it is
// taken out before a driver sees its options.
const imageStoreKey = "imagestore"

// ImageStores returns the graph roots of all read-only stores that driver is given, in lookup
// order: AdditionalRoots, then what "imagestore=PATH[,PATH…]" options name, without repeats.
// The layer and image stores use the same list. A path that is not absolute is an ErrInvalid.
func (c Choice) ImageStores(driver string) ([]string, error) {
	roots := slices.Clone(c.AdditionalRoots)
	for _, text := range c.Options {
		o, err := parseOption(text)
		if err != nil {
			return nil, err
		}
		if o.Key == imageStoreKey && (o.prefix == "" || o.prefix == canonical(driver)) {
			roots = append(roots, strings.Split(o.Value, ",")...)
		}
	}
	var out []string
	for _, root := range roots {
		if root == "" {
			continue
		}
		if !filepath.IsAbs(root) {
			return nil, fmt.Errorf("additional image store %q is not an absolute path: %w", root, errdefs.ErrInvalid)
		}
		if root = filepath.Clean(root); !slices.Contains(out, root) {
			out = append(out, root)
		}
	}
	return out, nil
}
