package archive

import "strings"

// The names that mark deletions in a layer tar (OCI image spec, layer.md,
// "Whiteouts"; aufs(5)).
const (
	// whiteoutPrefix before a name deletes what the layers below have there.
	whiteoutPrefix = ".wh."
	// whiteoutOpaque in a directory deletes all that the layers below have in it.
	whiteoutOpaque = ".wh..wh..opq"
	// whiteoutMeta begins the names of aufs's own files.
	whiteoutMeta = ".wh..wh."
	// whiteoutLinks is aufs's directory of files that have several names: other
	// entries of the tar are hard links to them.
	whiteoutLinks = ".wh..wh.plnk"
)

// metaPart reports whether a cleaned name lies in aufs's own files at the top,
// and whether in those that hard links refer to.
func metaPart(name string) (meta, links bool) {
	if !strings.HasPrefix(name, whiteoutMeta) || name == whiteoutOpaque {
		return false, false
	}
	first, _, _ := strings.Cut(name, "/")
	return true, first == whiteoutLinks
}
