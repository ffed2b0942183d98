package graphdriver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
)

// Restager is the optional power to prepare a change of a layer that is there, so that
// it can be made in one step.
type Restager interface {
	// Restage prepares a private place that begins with the files of layer id. Where the
	// file system can, they are further names of the layer's own, so that even a large layer
	// costs little; then a diff that would change one of them instead of replacing it
	// is an archive.ErrShared. With apart they are copies, for such diffs. The layer
	// must not change until Replace or Discard. ErrNotFound, ErrReadOnly; ErrUnsupported
	// where the file system can not exchange two directories in one step.
	Restage(ctx context.Context, id ID, apart bool) (Restaged, error)
	// Generation names the files that layer id has now. They get another name with each
	// Replace, and keep theirs while they are changed in place. Copying a store
	// changes all names.
	Generation(ctx context.Context, id ID) (string, error)
}

// Restaged is a stage for a layer that is there. It can not be adopted.
type Restaged interface {
	Replacer
	// Generation is what Restager.Generation says after Replace.
	Generation() (string, error)
}

// GenerationOf names a directory for Restager: by its inode, and by its birth, since
// inodes are used again.
func GenerationOf(dir string) (string, error) {
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

// CanSwap is an errdefs.ErrUnsupported if directories of the file system at dir, which is
// private and empty, can not be exchanged in one step.
func CanSwap(dir string) (err error) {
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
