package archive

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

// Names of extended attributes that mean something to a layer.
const (
	xattrCapability   = "security.capability"
	xattrIMA          = "security.ima"
	xattrUser         = "user."
	xattrUserOverlay  = "user.overlay."
	xattrFuse         = "user.fuseoverlayfs."
	xattrOverrideStat = "user.containers.override_stat"
)

// xattrMax is the kernel's limit for a value and for a list of names, see
// xattr(7); xattrUsual is enough for nearly all of them.
const (
	xattrMax   = 64 << 10
	xattrUsual = 1 << 10
)

// xattr is one extended attribute; the value is raw bytes.
type xattr struct{ name, value string }

// xattrReader reads the extended attributes that are content of a layer:
// security.capability, security.ima and user.*, without what overlayfs and
// fuse-overlayfs keep there for themselves. It is not safe for concurrent use.
type xattrReader struct {
	// mapping is the tree's: the root user of a namespaced capability is translated.
	mapping idmap.Mapping
	// format is the tree's; fuse-overlayfs has marks of its own.
	format WhiteoutFormat
	buf    []byte
	// noListAt is set once the kernel has turned out not to know listxattrat.
	noListAt bool
}

// content returns n's attributes sorted by name. Only regular files and
// directories can have any of these.
func (r *xattrReader) content(n *node) ([]xattr, error) {
	if !n.hasXattrs() {
		return nil, nil
	}
	names, err := r.names(n)
	if err != nil || names == "" {
		return nil, err
	}
	var found []xattr
	for name := range strings.SplitSeq(names, "\x00") {
		if !r.isContent(name) {
			continue
		}
		value, ok, err := r.value(n, name)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, xattr{name, r.translate(name, value)})
		}
	}
	slices.SortFunc(found, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

func (r *xattrReader) isContent(name string) bool {
	switch {
	case name == xattrCapability, name == xattrIMA:
		return true
	case !strings.HasPrefix(name, xattrUser), strings.HasPrefix(name, xattrUserOverlay):
		return false
	}
	return r.format != WhiteoutLiteral || !strings.HasPrefix(name, xattrFuse) && name != xattrOverrideStat
}

// names returns all of n's attribute names, each followed by a NUL.
func (r *xattrReader) names(n *node) (string, error) {
	list, err := r.call(n, func(buf []byte) (int, error) { return r.list(n, buf) })
	return string(list), err
}

// value returns one attribute of n; ok is false if it has none of that name.
func (r *xattrReader) value(n *node, name string) (value string, ok bool, err error) {
	found, err := r.call(n, func(buf []byte) (int, error) {
		if n.content != nil {
			return unix.Fgetxattr(n.content.fd, name, buf)
		}
		return unix.Lgetxattr(n.procPath(), name, buf)
	})
	if errors.Is(err, unix.ENODATA) {
		return "", false, nil
	}
	return string(found), err == nil, err
}

// list fills buf with n's attribute names by the cheapest call that there is.
func (r *xattrReader) list(n *node, buf []byte) (int, error) {
	if n.content != nil {
		return unix.Flistxattr(n.content.fd, buf)
	}
	if !r.noListAt {
		size, err := listXattrAt(n.dir, n.name, buf)
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) { // the latter from filters on system calls
			return size, err
		}
		r.noListAt = true
	}
	return unix.Llistxattr(n.procPath(), buf)
}

// procPath is a path that leads to n whatever happens to the names above it,
// for the calls that take no directory descriptor.
func (n *node) procPath() string { return "/proc/self/fd/" + strconv.Itoa(n.dir) + "/" + n.name }

// call runs a system call that fills a buffer, first a small one: the kernel
// allocates one of the same size each time. The result is valid until the next
// call. A file system without attributes has none.
func (r *xattrReader) call(n *node, do func(buf []byte) (int, error)) ([]byte, error) {
	if r.buf == nil {
		r.buf = make([]byte, xattrMax)
	}
	buf := r.buf[:xattrUsual]
	for {
		var size int
		err := retry(func() (err error) { size, err = do(buf); return err })
		switch {
		case err == nil:
			return buf[:size], nil
		case errors.Is(err, unix.ERANGE) && len(buf) < len(r.buf):
			buf = r.buf
		case errors.Is(err, unix.ENOTSUP):
			return nil, nil
		case errors.Is(err, unix.ENOENT) && new(node).lookup(n.dir, n.name) == nil:
			return nil, fmt.Errorf("read extended attributes: /proc: %w", errdefs.ErrUnsupported)
		default:
			return nil, err
		}
	}
}

// translate turns a capability that belongs to a user namespace into the one
// that is seen inside of it; every other attribute stays as it is.
func (r *xattrReader) translate(name, value string) string {
	if name != xattrCapability {
		return value
	}
	return r.mapping.CapabilityToContainer(value)
}
