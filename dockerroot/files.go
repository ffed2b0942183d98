package dockerroot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// maxValue caps the small files of the database.
const maxValue = 4096

// at is a name below the engine's folder.
func (r *Root) at(names ...string) string {
	return path.Join(append([]string{r.base}, names...)...)
}

// names lists a directory, sorted; one that is not there has none.
func (r *Root) names(dir string) ([]string, error) {
	d, err := r.dir.Dir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(dir, err)
	}
	defer d.Release()
	var list []string
	err = d.EachName(func(base string) error {
		list = append(list, base)
		return nil
	})
	slices.Sort(list)
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	return list, nil
}

// openRegular opens a file for reading. A FIFO in its place does not block.
func (r *Root) openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := r.dir.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, explain(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: %w", name, errdefs.ErrCorrupt)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// explain words what openat2 says of links, and makes damage of what stands in
// the place of a directory.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%s is a symbolic link or leads through one, which is not followed: %w", name, errdefs.ErrCorrupt)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %w", err, errdefs.ErrCorrupt)
	}
	return err
}

// required makes damage of what has to be there and is not.
func required(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, errdefs.ErrCorrupt)
	}
	return err
}

// read returns a file of at most limit bytes.
func (r *Root) read(name string, limit int64) ([]byte, error) {
	f, info, err := r.openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read: %w", name, info.Size(), limit, errdefs.ErrLimit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// value reads one of the database's small files.
func (r *Root) value(name string) (string, error) {
	data, err := r.read(name, maxValue)
	return strings.TrimSpace(string(data)), err
}

// digest reads a small file that holds a digest.
func (r *Root) digest(name string) (digest.Digest, error) {
	text, err := r.value(name)
	if err != nil {
		return "", err
	}
	d := digest.Digest(text)
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("%s holds %q, which is no SHA-256 digest: %w", path.Base(name), text, errdefs.ErrCorrupt)
	}
	return d, nil
}

// sha256Named makes a digest of a folder or file named by its hex digits.
func sha256Named(base string) (digest.Digest, bool) {
	d := digest.NewDigestFromEncoded(digest.SHA256, base)
	return d, d.Validate() == nil
}
