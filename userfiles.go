package strata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// maxUserFile caps what ContainerFile takes into memory, in bytes.
const maxUserFile = 64 << 20

// ContainerFile returns a file in the container's directory of the engine's own
// files (ContainerDir); name is a path inside it. An *UnknownError if there is no
// such container, fs.ErrNotExist if there is no such file, errdefs.ErrLimit above
// 64 MiB.
func (s *Store) ContainerFile(ctx context.Context, nameOrID, name string) ([]byte, error) {
	dir, err := s.ContainerDir(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return readInside(dir, name)
}

// SetContainerFile replaces such a file, making directories on the way. Readers
// see the old content or the new one.
func (s *Store) SetContainerFile(ctx context.Context, nameOrID, name string, data []byte) error {
	dir, err := s.ContainerDir(ctx, nameOrID)
	if err != nil {
		return err
	}
	return writeInside(dir, name, data, true)
}

// ContainerRunFile is ContainerFile in the directory that goes away with a reboot
// (ContainerRunDir).
func (s *Store) ContainerRunFile(ctx context.Context, nameOrID, name string) ([]byte, error) {
	dir, err := s.ContainerRunDir(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return readInside(dir, name)
}

// SetContainerRunFile is SetContainerFile in the directory that goes away with a
// reboot; nothing is flushed.
func (s *Store) SetContainerRunFile(ctx context.Context, nameOrID, name string, data []byte) error {
	dir, err := s.ContainerRunDir(ctx, nameOrID)
	if err != nil {
		return err
	}
	return writeInside(dir, name, data, false)
}

// readInside reads a regular file below dir; links do not lead out of it.
func readInside(dir, name string) (data []byte, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", name, errdefs.ErrInvalid)
	}
	data, err = io.ReadAll(io.LimitReader(f, maxUserFile+1))
	if err == nil && len(data) > maxUserFile {
		err = fmt.Errorf("%s has more than %d bytes: %w", name, maxUserFile, errdefs.ErrLimit)
	}
	return data, err
}

// writeInside replaces a file below dir; links do not lead out of it.
func writeInside(dir, name string, data []byte, sync bool) (err error) {
	if !filepath.IsLocal(name) || filepath.Clean(name) == "." {
		return fmt.Errorf("file name %q: %w", name, errdefs.ErrInvalid)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	parent := filepath.Dir(name)
	if err := root.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	temp := filepath.Join(parent, atomicfile.TempPrefix+filepath.Base(name)+strconv.FormatUint(rand.Uint64(), 10))
	if err := faults.Hit("strata.file.write", dir); err != nil {
		return err
	}
	err = writeNew(root, temp, data, sync)
	if err == nil {
		err = faults.Hit("strata.file.rename", dir)
	}
	if err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		if removeErr := root.Remove(temp); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return err
	}
	if !sync {
		return nil
	}
	if err := syncInside(root, parent); err != nil {
		return err
	}
	object := filepath.Dir(dir) // which may be new, like dir itself
	return errors.Join(atomicfile.SyncDir(object), atomicfile.SyncDir(filepath.Dir(object)))
}

func writeNew(root *os.Root, name string, data []byte, sync bool) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncInside flushes a directory, and those above it, which may be new.
func syncInside(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil || dir == "." {
		return err
	}
	return syncInside(root, filepath.Dir(dir))
}
