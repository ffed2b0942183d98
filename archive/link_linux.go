package archive

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/rootfd"
)

// linked brings an object in line with a further header that names it. As a rule
// the headers agree, and then nothing may be touched: setting the same owner
// again would already take capabilities away, which many tars give with the
// first name only.
func (s *attrSetter) linked(d *rootfd.Dir, base string, a *attrs) error {
	st, err := d.Lstat(base)
	if err != nil {
		return fmt.Errorf("look at hard link: %w", err)
	}
	isLink := st.Mode&unix.S_IFMT == unix.S_IFLNK
	sameOwner := !s.mustChown(&st, a)
	sameMode := isLink || st.Mode&0o7777 == a.mode
	sameTime := st.Mtim.Sec == a.mtime.Unix() && st.Mtim.Nsec == int64(a.mtime.Nanosecond())
	if sameOwner && sameMode && sameTime && len(a.xattrs) == 0 {
		return nil
	}
	if !sameOwner {
		keep, err := d.Getxattr(base, xattrCapability)
		if err == nil {
			// In front: a value in the header itself is set after it.
			a.xattrs = append([]xattr{{name: xattrCapability, value: string(keep)}}, a.xattrs...)
		} else if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("read xattr %s: %w", xattrCapability, err)
		}
	}
	return s.named(d, base, a)
}
