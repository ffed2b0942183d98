package strata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// trashBin is a dated folder for what a repair takes out of the store.
type trashBin struct {
	root string // the graph root
	dir  string // made when it is needed
}

func (s *Store) newTrash(now time.Time) *trashBin {
	name := now.UTC().Format("2006-01-02T15.04.05.000000000Z")
	return &trashBin{root: s.roots.graph, dir: filepath.Join(s.roots.graph, "strata", "trash", name)}
}

// keep renames path into the folder, below a directory for its object. A path that
// is not there is success; one on another file system is an errdefs.ErrUnsupported
// and stays.
func (b *trashBin) keep(object, path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir := filepath.Join(b.dir, object)
	if err := faults.Hit("strata.trash.keep", dir); err != nil {
		return fmt.Errorf("move %s to the trash: %w", path, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make trash folder: %w", err)
	}
	to := filepath.Join(dir, filepath.Base(path))
	err := atomicfile.RenameNew(path, to)
	if errors.Is(err, unix.EXDEV) {
		err = b.keepAround(path, to)
	}
	if errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("move %s to the trash: it is on another file system: %w", path, errdefs.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("move %s to the trash: %w", path, err)
	}
	return nil
}

// keepAround renames below a private view of the graph root: the driver's home is a
// mount of its own (on-disk format, 4.5), and nothing is renamed across mounts.
func (b *trashBin) keepAround(from, to string) error {
	relFrom, inside := strings.CutPrefix(from, b.root+"/")
	relTo, _ := strings.CutPrefix(to, b.root+"/")
	if !inside {
		return unix.EXDEV
	}
	view, err := unix.OpenTree(unix.AT_FDCWD, b.root, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return unix.EXDEV
	}
	err = unix.Renameat2(view, relFrom, view, relTo, unix.RENAME_NOREPLACE)
	return errors.Join(err, unix.Close(view))
}

// note writes what a record said beside what was kept of the object.
func (b *trashBin) note(object string, record []byte) error {
	dir := filepath.Join(b.dir, object)
	if err := faults.Hit("strata.trash.note", dir); err != nil {
		return fmt.Errorf("make trash folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make trash folder: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "record.json"), record, 0o600)
}

// used reports whether anything was put there.
func (b *trashBin) used() bool {
	_, err := os.Lstat(b.dir)
	return err == nil
}
