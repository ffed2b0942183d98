package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// attrs are what an object gets besides its content.
type attrs struct {
	uid, gid     int    // the host's
	mode         uint32 // 0o7777
	atime, mtime time.Time
	xattrs       []xattr
	// stat is the value of the override xattr, "" without ForceMode.
	stat string
}

// attrSetter sets attributes in the one order that keeps them: content, owner,
// mode, times, xattrs. A change of owner and a write take set-user-ID away, and
// a change of owner takes capabilities. It is safe for concurrent use.
type attrSetter struct {
	opts   *ExtractOptions
	userNS struct {
		once sync.Once
		yes  bool
	}
}

// xattrPrefix begins the PAX records of extended attributes.
const xattrPrefix = "SCHILY.xattr."

// of takes the attributes from a header.
func (s *attrSetter) of(it *item) (a attrs, err error) {
	hdr := it.hdr
	a.mode = uint32(hdr.Mode & 0o7777)
	a.mtime, a.atime = hdr.ModTime, hdr.ModTime
	if hdr.AccessTime.After(a.mtime) {
		a.atime = hdr.AccessTime
	}
	if len(hdr.PAXRecords) > 0 {
		a.xattrs = s.xattrs(hdr.PAXRecords)
	}
	return a, s.owner(&a, hdr.Uid, hdr.Gid, typeWord(hdr))
}

// ofParent returns the attributes of a directory that has no entry.
func (s *attrSetter) ofParent(it *item) (attrs, error) {
	a := attrs{mode: 0o755, atime: it.hdr.ModTime, mtime: it.hdr.ModTime}
	return a, s.owner(&a, 0, 0, "dir")
}

// owner translates an owner, or puts it aside where all is forced.
func (s *attrSetter) owner(a *attrs, uid, gid int, kind string) (err error) {
	if a.uid, a.gid, err = s.opts.Mapping.ToHost(uid, gid); err != nil {
		return err
	}
	if s.opts.ForceMode != nil {
		a.stat = fmt.Sprintf("%d:%d:%04o:%s", a.uid, a.gid, a.mode, kind)
		a.mode = uint32(s.opts.ForceMode.Perm())
	}
	return nil
}

// typeWord is an object's type in the override xattr (on-disk format, 4.8).
func typeWord(hdr *tar.Header) string {
	switch hdr.Typeflag {
	case tar.TypeDir:
		return "dir"
	case tar.TypeSymlink:
		return "symlink"
	case tar.TypeFifo:
		return "pipe"
	case tar.TypeBlock:
		return fmt.Sprintf("block-%d-%d", hdr.Devmajor, hdr.Devminor)
	case tar.TypeChar:
		return fmt.Sprintf("char-%d-%d", hdr.Devmajor, hdr.Devminor)
	}
	return "file"
}

// overrideStat is where owner and mode go when they are forced.
const overrideStat = "user.containers.override_stat"

// xattrs picks the extended attributes to set, in order of their names.
func (s *attrSetter) xattrs(records map[string]string) (list []xattr) {
	for key, value := range records {
		name, ok := strings.CutPrefix(key, xattrPrefix)
		if ok && !s.dropped(name) {
			list = append(list, xattr{name: name, value: s.translate(name, value)})
		}
	}
	slices.SortFunc(list, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return list
}

// dropped are the xattrs that a tar can not set: the label, which is the
// host's, and those by which overlay file systems steer themselves.
func (s *attrSetter) dropped(name string) bool {
	switch {
	case name == "security.selinux":
		return true
	case strings.HasPrefix(name, "trusted.overlay."),
		strings.HasPrefix(name, "user.overlay."),
		strings.HasPrefix(name, "user.fuseoverlayfs."):
		return true
	}
	return name == overrideStat && (s.opts.ForceMode != nil || s.opts.Whiteouts == WhiteoutLiteral)
}

// createMode is a mode to make an object with so that it need not be changed
// afterwards in the usual case. Special bits come after the owner.
func (a *attrs) createMode() uint32 { return a.mode & 0o777 }

// open finishes an open regular file.
func (s *attrSetter) open(fd rootfd.FD, a *attrs) error {
	if err := s.ownerAndMode(fd, a); err != nil {
		return err
	}
	if err := fd.Utimes(a.atime, a.mtime); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return s.openXattrs(fd, a)
}

// ownerAndMode looks first: most objects were made just right, and looking is
// cheaper than setting.
func (s *attrSetter) ownerAndMode(fd rootfd.FD, a *attrs) error {
	st, err := fd.Stat()
	if err != nil {
		return fmt.Errorf("look at new file: %w", err)
	}
	if s.mustChown(&st, a) {
		if err := s.chowned(a, fd.Chown(a.uid, a.gid)); err != nil {
			return err
		}
	}
	if st.Mode&0o7777 != a.mode {
		return modeError(a, fd.Chmod(a.mode))
	}
	return nil
}

// named finishes an object that can not be opened: a link, a device, a fifo.
func (s *attrSetter) named(d *rootfd.Dir, base string, a *attrs) error {
	st, err := d.Lstat(base)
	if err != nil {
		return fmt.Errorf("look at new entry: %w", err)
	}
	if s.mustChown(&st, a) {
		if err := s.chowned(a, d.Chown(base, a.uid, a.gid)); err != nil {
			return err
		}
	}
	if isLink := st.Mode&unix.S_IFMT == unix.S_IFLNK; !isLink && st.Mode&0o7777 != a.mode {
		if err := modeError(a, d.Chmod(base, a.mode)); err != nil {
			return err
		}
	}
	if err := d.Utimes(base, a.atime, a.mtime); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	for _, xa := range a.xattrs {
		if err := s.tolerate(xa.name, d.Setxattr(base, xa.name, []byte(xa.value))); err != nil {
			return err
		}
	}
	return nil
}

func (s *attrSetter) mustChown(st *unix.Stat_t, a *attrs) bool {
	return s.opts.ForceMode == nil && (int64(st.Uid) != int64(a.uid) || int64(st.Gid) != int64(a.gid))
}

func (s *attrSetter) chowned(a *attrs, err error) error {
	if err == nil || s.opts.IgnoreChownErrors {
		return nil
	}
	return fmt.Errorf("set owner %d:%d: %w", a.uid, a.gid, err)
}

func modeError(a *attrs, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("set mode %04o: %w", a.mode, err)
}

func (s *attrSetter) openXattrs(fd rootfd.FD, a *attrs) error {
	for _, xa := range a.xattrs {
		if err := s.tolerate(xa.name, fd.Setxattr(xa.name, []byte(xa.value))); err != nil {
			return err
		}
	}
	return s.override(fd, a)
}

// override puts the true owner and mode where a mount program finds them.
func (s *attrSetter) override(fd rootfd.FD, a *attrs) error {
	if a.stat == "" {
		return nil
	}
	if err := fd.Setxattr(overrideStat, []byte(a.stat)); err != nil {
		return fmt.Errorf("set xattr %s: %w", overrideStat, err)
	}
	return nil
}

// tolerate lets pass what the file system or a user namespace can not have
// (on-disk format, 6.2).
func (s *attrSetter) tolerate(name string, err error) error {
	switch {
	case err == nil, errors.Is(err, unix.ENOTSUP):
		return nil
	case errors.Is(err, unix.EPERM) && s.inUserNamespace():
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM) && strings.HasPrefix(name, "user."):
		// The kernel knows the attribute, and not such a value, or not for such an object.
		return fmt.Errorf("set xattr %s: %w: %v", name, errdefs.ErrInvalid, err) //nolint:errorlint // nobody's permission is missing
	}
	return fmt.Errorf("set xattr %s: %w", name, err)
}

// inUserNamespace reports whether IDs are mapped: the first namespace has all
// of them as they are (user_namespaces(7)).
func (s *attrSetter) inUserNamespace() bool {
	s.userNS.once.Do(func() {
		text, err := os.ReadFile("/proc/self/uid_map")
		s.userNS.yes = err == nil && strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295"
	})
	return s.userNS.yes
}
