package homes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/tempdir"
)

// Swappable makes an empty private directory in a home for a tree that is to be exchanged
// for a layer's; see graphdriver.Restager. The caller closes temp, which removes it.
func Swappable(h Home) (temp *tempdir.Dir, tree string, err error) {
	if temp, err = tempdir.New(h.Temp()); err != nil {
		return nil, "", err
	}
	tree = temp.Addition()
	if err = os.Mkdir(tree, 0o700); err == nil {
		err = canSwap(tree)
	}
	if err != nil {
		return nil, "", errors.Join(err, temp.Close())
	}
	return temp, tree, nil
}

// canSwap is an errdefs.ErrUnsupported if directories of the file system at dir, which is
// private and empty, can not be exchanged in one step.
func canSwap(dir string) (err error) {
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, path := range []string{one, two} {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.Remove(path)) }()
	}
	if err := atomicfile.Swap(one, two); errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("exchange directories: %w: %w", errdefs.ErrUnsupported, err)
	} else if err != nil {
		return err
	}
	return nil
}

// Generation names a directory for graphdriver.Restager: by its inode, and by its birth,
// since inodes are used again.
func Generation(dir string) (string, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Mask&unix.STATX_BTIME == 0 {
		return fmt.Sprint(st.Ino), nil
	}
	return fmt.Sprintf("%d-%d.%09d", st.Ino, st.Btime.Sec, st.Btime.Nsec), nil
}
