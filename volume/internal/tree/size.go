package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Size sums up the bytes of the regular files below dir, each inode once, without entering
// other file systems. What vanishes meanwhile counts nothing.
func Size(ctx context.Context, dir string) (int64, error) {
	top, err := os.Lstat(dir)
	if err != nil {
		return 0, err
	}
	dev := stat(top).Dev
	seen := map[uint64]bool{}
	var size int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		st := stat(info)
		if d.IsDir() && st.Dev != dev {
			return fs.SkipDir
		}
		if info.Mode().IsRegular() && !seen[st.Ino] {
			size += info.Size()
			if st.Nlink > 1 {
				seen[st.Ino] = true
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of %s: %w", dir, err)
	}
	return size, nil
}

// stat is the system's own record, which Linux always gives.
func stat(info fs.FileInfo) *syscall.Stat_t {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st
	}
	return &syscall.Stat_t{}
}
