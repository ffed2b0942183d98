package dedupe

import (
	"context"
	"errors"
	"hash"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"crypto/sha256"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/rootfd"
)

// finder collects files by size.
type finder struct {
	sizes map[fileSize][]file
	seen  map[fileID]bool
	roots []*rootfd.Root
}

// add goes through one directory, which need not be there.
func (f *finder) add(ctx context.Context, dir string) error {
	if err := faults.Hit("dedupe.read", dir); err != nil {
		return err
	}
	root, err := rootfd.Open(dir, rootfd.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.roots = append(f.roots, root)
	top, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return nil //nolint:nilerr // gone since it was listed, or not to be read: left out
		}
		return f.entry(root, dir, path, e, top)
	})
}

func (f *finder) entry(root *rootfd.Root, dir, path string, e fs.DirEntry, top fs.FileInfo) error {
	if !e.IsDir() && !e.Type().IsRegular() {
		return nil
	}
	info, err := e.Info()
	if err != nil {
		return nil //nolint:nilerr // gone since it was listed
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if topStat, is := top.Sys().(*syscall.Stat_t); !ok || !is || st.Dev != topStat.Dev {
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	id := fileID{st.Dev, st.Ino}
	if e.IsDir() || st.Size == 0 || f.seen[id] {
		return nil
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	f.seen[id] = true
	key := fileSize{st.Dev, st.Size}
	f.sizes[key] = append(f.sizes[key], file{dir, root, name, id, st.Size})
	return nil
}

func (f *finder) close() {
	for _, root := range f.roots {
		_ = root.Close() // read only: nothing to lose
	}
}

// errChanged: the name is another file's by now, or the file has another size.
var errChanged = errors.New("the file changed")

// open opens the file for reading, if it still is the one that was found. Its time of
// access stays.
func (f file) open() (*os.File, error) {
	flags := os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOATIME
	open, err := f.root.OpenFile(f.name, flags, 0)
	if errors.Is(err, fs.ErrPermission) { // O_NOATIME is for the owner
		open, err = f.root.OpenFile(f.name, flags&^unix.O_NOATIME, 0)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(open.Fd()), &st); err == nil && (fileID{st.Dev, st.Ino} != f.id || st.Size != f.size) {
		err = errChanged
	}
	if err != nil {
		_ = open.Close() // read only: nothing to lose
		return nil, err
	}
	return open, nil
}

// block is as much as a file is read with method Size, in bytes.
const block = 4096

// sum is equal for equal files.
func (m Method) sum(r io.Reader) (string, error) {
	var h hash.Hash = crc64.New(crc64.MakeTable(crc64.ECMA))
	switch m {
	case SHA256:
		h = sha256.New()
	case Size:
		r = io.LimitReader(r, block)
	}
	_, err := io.Copy(h, r)
	return string(h.Sum(nil)), err
}
