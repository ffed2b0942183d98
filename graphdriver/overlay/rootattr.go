package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// rootAttr is what a layer's root directory looks like in a container. Mode holds the
// permission, set-ID and sticky bits as chmod(2) has them.
type rootAttr struct {
	mode     uint32
	uid, gid int
}

// overrideAttr holds owner and mode where they can not be real (on-disk format, 4.8).
const overrideAttr = "user.containers.override_stat"

// readRoot looks at a diff directory, through the link that one of an additional layer
// store is.
func readRoot(diff string) (rootAttr, error) {
	var st unix.Stat_t
	if err := unix.Stat(diff, &st); err != nil {
		return rootAttr{}, &fs.PathError{Op: "stat", Path: diff, Err: err}
	}
	buf := make([]byte, 256)
	n, err := unix.Getxattr(diff, overrideAttr, buf)
	if err == nil {
		return parseOverride(string(buf[:n]))
	}
	if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
		return rootAttr{}, &fs.PathError{Op: "getxattr " + overrideAttr, Path: diff, Err: err}
	}
	return rootAttr{mode: st.Mode & 0o7777, uid: int(st.Uid), gid: int(st.Gid)}, nil
}

// parseOverride reads "uid:gid:MODE" with an optional ":type"; MODE is octal.
func parseOverride(text string) (rootAttr, error) {
	fields := strings.Split(text, ":")
	if len(fields) != 3 && len(fields) != 4 {
		return rootAttr{}, fmt.Errorf("%s is %q: %w", overrideAttr, text, errdefs.ErrCorrupt)
	}
	uid, errUID := strconv.ParseUint(fields[0], 10, 32)
	gid, errGID := strconv.ParseUint(fields[1], 10, 32)
	mode, errMode := strconv.ParseUint(fields[2], 8, 32)
	if errors.Join(errUID, errGID, errMode) != nil {
		return rootAttr{}, fmt.Errorf("%s is %q: %w", overrideAttr, text, errdefs.ErrCorrupt)
	}
	return rootAttr{mode: uint32(mode) & 0o7777, uid: int(uid), gid: int(gid)}, nil
}

// override gives the directory at path the forced mode and notes the true one.
func (r rootAttr) override(path string, mask fs.FileMode) error {
	text := fmt.Sprintf("%d:%d:%04o:dir", r.uid, r.gid, r.mode)
	if err := unix.Setxattr(path, overrideAttr, []byte(text), 0); err != nil {
		return &fs.PathError{Op: "setxattr " + overrideAttr, Path: path, Err: err}
	}
	return os.Chmod(path, mask)
}
