package strata

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// diskUse adds up what trees take on the disk, as du(1) -x does: blocks, every inode
// once, nothing that is mounted inside. It is not safe for concurrent use.
type diskUse struct {
	bytes int64
	seen  map[inode]bool // of names with links
}

type inode struct{ dev, ino uint64 }

// blockSize is the unit of st_blocks in bytes (stat(2)).
const blockSize = 512

// add walks path, which need not be there. skip, when not nil, is asked about
// directories and files below path.
func (d *diskUse) add(ctx context.Context, path string, skip func(path string) bool) error {
	root, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dev := deviceOf(root)
	return filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && skip != nil && p != path && skip(p) {
			return skipEntry(e)
		}
		if err == nil {
			err = d.entry(e, dev)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since it was listed
		}
		return err
	})
}

func skipEntry(e fs.DirEntry) error {
	if e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (d *diskUse) entry(e fs.DirEntry, dev uint64) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if st.Dev != dev {
		return skipEntry(e)
	}
	if !e.IsDir() && st.Nlink > 1 {
		key := inode{st.Dev, st.Ino}
		if d.seen[key] {
			return nil
		}
		if d.seen == nil {
			d.seen = map[inode]bool{}
		}
		d.seen[key] = true
	}
	d.bytes += st.Blocks * blockSize
	return nil
}

func deviceOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}

// measureOrphans fills in Bytes. What can not be read counts nothing.
func (s *Store) measureOrphans(ctx context.Context, found []Orphan) {
	for i := range found {
		var use diskUse
		if err := use.add(ctx, found[i].Path, nil); err != nil {
			s.log.DebugContext(ctx, "measure orphan", "path", found[i].Path, "error", err)
		}
		found[i].Bytes = use.bytes
	}
}
