package bigdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// MaxRead caps what Read takes into memory, in bytes. Larger items are read with Open.
const MaxRead = 1 << 30

// Options belong to Write.
type Options struct {
	// NoSync leaves out flushing to disk: for records that do not outlive a reboot.
	NoSync bool
}

// Write replaces the item called key in dir, making dir (0700) if it is not
// there. Readers see the old item or the new one, never a mixture; when Write
// returns, the item is durable.
func Write(dir, key string, data []byte, opts Options) error {
	name, err := newFileName(key)
	if err != nil {
		return err
	}
	if err := makeDir(dir, opts); err != nil {
		return err
	}
	if _, err := atomicfile.Write(filepath.Join(dir, name), data, atomicfile.Options{Mode: 0o600, NoSync: opts.NoSync}); err != nil {
		return fmt.Errorf("write data item %q: %w", key, err)
	}
	return nil
}

// newFileName is FileName for an item that is written: with room left for temporary
// names, and refusing keys that a record would give back as others.
func newFileName(key string) (string, error) {
	name, err := FileName(key)
	if err != nil {
		return "", err
	}
	if !utf8.ValidString(key) {
		return "", fmt.Errorf("key %q is not UTF-8: %w", key, ErrBadKey)
	}
	if len(name) > maxNewName {
		return "", fmt.Errorf("key %.40q… makes a file name of %d bytes: %w", key, len(name), ErrBadKey)
	}
	return name, nil
}

func makeDir(dir string, opts Options) error {
	if err := faults.Hit("bigdata.mkdir", dir); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return isDir(dir)
	}
	if err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if opts.NoSync {
		return nil
	}
	return atomicfile.SyncDir(filepath.Dir(dir))
}

// isDir refuses a link in the place of a directory: items belong nowhere else.
func isDir(dir string) error {
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("data directory %s is none: %w", dir, errdefs.ErrCorrupt)
	}
	return err
}

// Open opens the item called key for reading; fs.ErrNotExist if there is none.
// Only regular files are opened, links are not followed. The caller closes it.
func Open(dir, key string) (*os.File, error) {
	name, err := FileName(key)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: not a regular file: %w", path, errdefs.ErrCorrupt)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read returns the whole item called key; fs.ErrNotExist if there is none,
// errdefs.ErrLimit above MaxRead.
func Read(ctx context.Context, dir, key string) ([]byte, error) {
	f, err := Open(dir, key)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing to lose
	return ReadAll(ctx, f)
}

// ReadAll returns the content of an item that Open opened; errdefs.ErrLimit above
// MaxRead.
func ReadAll(ctx context.Context, f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxRead {
		return nil, fmt.Errorf("data item %s has %d bytes: %w", f.Name(), info.Size(), errdefs.ErrLimit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read data item %s: %w", f.Name(), err)
	}
	return data, nil
}
