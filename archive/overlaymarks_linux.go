package archive

import (
	"fmt"
	"strings"
)

// overlayMarks reads the marks that overlayfs (kernel documentation,
// overlayfs.rst, "Whiteouts and opaque directories") or fuse-overlayfs leaves on
// disk. It is not safe for concurrent use.
type overlayMarks struct {
	format WhiteoutFormat
	attrs  xattrReader
}

func newOverlayMarks(format WhiteoutFormat) *overlayMarks {
	return &overlayMarks{format: format, attrs: xattrReader{format: format}}
}

// dirMarks are the marks of one directory.
type dirMarks struct {
	// opaque: nothing from the layers below is visible in it.
	opaque bool
	// fileWhiteouts: empty files with an attribute in it are whiteouts, too.
	fileWhiteouts bool
}

// prefixes are the attribute name spaces that hold marks. fuse-overlayfs
// accepts the kernel's beside its own.
func (m *overlayMarks) prefixes() []string {
	switch m.format {
	case WhiteoutTrusted:
		return []string{"trusted.overlay."}
	case WhiteoutUser:
		return []string{xattrUserOverlay}
	case WhiteoutLiteral:
		return []string{xattrFuse, "trusted.overlay.", xattrUserOverlay}
	}
	return nil
}

// directory reads the marks of the directory n. A redirected one is ErrNeedsMount:
// what is below of it lies under another name.
func (m *overlayMarks) directory(n *node) (marks dirMarks, err error) {
	if m.format == WhiteoutNone {
		return marks, nil
	}
	if m.format == WhiteoutLiteral && new(node).lookup(n.dir, n.name+"/"+whiteoutOpaque) == nil {
		marks.opaque = true
	}
	names, err := m.attrs.names(n)
	if err != nil || names == "" {
		return marks, err
	}
	for _, prefix := range m.prefixes() {
		if hasName(names, prefix+"redirect") {
			return marks, fmt.Errorf("%w: directory is redirected", ErrNeedsMount)
		}
		if !hasName(names, prefix+"opaque") {
			continue
		}
		value, _, err := m.attrs.value(n, prefix+"opaque")
		if err != nil {
			return marks, err
		}
		marks.opaque = marks.opaque || value == "y"
		marks.fileWhiteouts = marks.fileWhiteouts || value == "x"
	}
	return marks, nil
}

// rootDirectory reads the marks of a layer's root. The kernel merges the roots
// of all layers whatever they say; fuse-overlayfs obeys an opaque one.
func (m *overlayMarks) rootDirectory(fd int) (dirMarks, error) {
	var n node
	if err := n.lookup(fd, "."); err != nil {
		return dirMarks{}, err
	}
	marks, err := m.directory(&n)
	marks.opaque = marks.opaque && m.format == WhiteoutLiteral
	return marks, err
}

// isWhiteout reports whether n, in a directory with these marks, stands for a
// deleted name. Names of the form ".wh.x" are not looked at here.
func (m *overlayMarks) isWhiteout(n *node, in dirMarks) (bool, error) {
	if m.format == WhiteoutNone {
		return false, nil
	}
	if n.isWhiteout() {
		return true, nil
	}
	if !in.fileWhiteouts || !n.isRegular() || n.st.Size != 0 {
		return false, nil
	}
	return m.marked(n, "whiteout")
}

// check returns ErrNeedsMount for a file whose content lies in a lower layer.
func (m *overlayMarks) check(n *node) error {
	if m.format == WhiteoutNone || !n.isRegular() {
		return nil
	}
	marked, err := m.marked(n, "metacopy")
	if marked {
		return fmt.Errorf("%w: only the attributes of the file were copied up", ErrNeedsMount)
	}
	return err
}

func (m *overlayMarks) marked(n *node, mark string) (bool, error) {
	names, err := m.attrs.names(n)
	if err != nil || names == "" {
		return false, err
	}
	for _, prefix := range m.prefixes() {
		if hasName(names, prefix+mark) {
			return true, nil
		}
	}
	return false, nil
}

// hidden returns the names that ".wh.x" files among names hide in their own
// directory and below it; nil unless the format has such files. A file of a
// hidden name in the same directory is not visible either (fuse-overlayfs 1.10).
func (m *overlayMarks) hidden(names []string) map[string]bool {
	if m.format != WhiteoutLiteral {
		return nil
	}
	var hidden map[string]bool
	for _, name := range names {
		target, ok := strings.CutPrefix(name, whiteoutPrefix)
		if !ok || strings.HasPrefix(name, whiteoutMeta) {
			continue
		}
		if hidden == nil {
			hidden = make(map[string]bool)
		}
		hidden[target] = true
	}
	return hidden
}

// isMarkFile reports whether a name in a directory is a mark and no content.
func (m *overlayMarks) isMarkFile(name string) bool {
	return m.format == WhiteoutLiteral && strings.HasPrefix(name, whiteoutPrefix)
}

// hasName looks for one name in a list where each is followed by a NUL.
func hasName(names, name string) bool {
	for found := range strings.SplitSeq(names, "\x00") {
		if found == name {
			return true
		}
	}
	return false
}
