package rootfd

import (
	"fmt"
	"path"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Clean turns a name from outside into the one form that Root accepts:
// slash separated, relative, without ".", ".." or empty components; "." is the
// root itself. Leading slashes are dropped, since an absolute name in an
// archive means the archive's root. A name that climbs above the root at any
// point, even if it comes back, is an error (errdefs.ErrInvalid).
func Clean(name string) (string, error) {
	if isClean(name) {
		return name, nil
	}
	rel := strings.TrimLeft(name, "/")
	if strings.IndexByte(rel, 0) >= 0 {
		return "", fmt.Errorf("%w name %q: contains a NUL byte", errdefs.ErrInvalid, name)
	}
	depth := 0
	for part := range strings.SplitSeq(rel, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return "", fmt.Errorf("%w name %q: climbs out of the root", errdefs.ErrInvalid, name)
			}
		default:
			depth++
		}
	}
	return path.Clean(rel), nil
}

// isClean is the common case, decided in one look at each byte.
func isClean(name string) bool {
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] == 0 {
			return false
		}
		if i < len(name) && name[i] != '/' {
			continue
		}
		if part := name[start:i]; part == "" || part == "." || part == ".." {
			return false
		}
		start = i + 1
	}
	return true
}

// Split cuts a cleaned name into its directory ("." at the top) and its base name.
func Split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}
