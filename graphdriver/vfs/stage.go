package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
	"github.com/stratastore/strata/internal/treecopy"
)

// errOver reports the use of a stage that was adopted or discarded.
var errOver = errdefs.New(errdefs.ErrInvalid, "staged layer is adopted or discarded already")

// Create makes a layer that is a copy of its parent: a stage that is adopted at once.
func (d *driver) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if err := d.homes.Free(id); err != nil { // before copying; Adopt decides
		return err
	}
	st, err := d.Stage(ctx, parent, opts)
	if err != nil {
		return err
	}
	if err := st.Adopt(ctx, id); err != nil {
		return errors.Join(err, st.Discard())
	}
	if err := st.Discard(); err != nil { // the layer is there, and the next process sweeps
		d.log.WarnContext(ctx, "an empty temporary directory stays", "driver", Name, "error", err)
	}
	return nil
}

// Stage copies the parent's tree into a directory of its own.
func (d *driver) Stage(ctx context.Context, parent graphdriver.ID, opts graphdriver.CreateOptions) (graphdriver.Staged, error) {
	for key := range opts.StorageOpt {
		return nil, fmt.Errorf("vfs has no storage option %q for a layer: %w", key, errdefs.ErrInvalid)
	}
	var from string
	if parent != "" {
		h, err := d.homes.Find(parent)
		if err != nil {
			return nil, fmt.Errorf("parent: %w", err)
		}
		from = h.Dir(parent)
	}
	st := &staged{driver: d, home: d.homes.For(opts), dirty: true}
	var err error
	if st.temp, err = tempdir.New(st.home.Temp()); err != nil {
		return nil, err
	}
	st.tree = st.temp.Addition()
	if err := st.begin(ctx, from, opts); err != nil {
		return nil, errors.Join(err, st.Discard())
	}
	return st, nil
}

// staged is a layer in tempdirs.
type staged struct {
	driver *driver
	home   home
	temp   *tempdir.Dir
	tree   string
	dirty  bool // something was written since the last Sync
	// again: it begins with the files of a layer that is there; shared: with the very files.
	again, shared bool
	over          bool // adopted or discarded
}

// begin makes the tree: a copy of from, or an empty directory of the mapped root.
func (s *staged) begin(ctx context.Context, from string, opts graphdriver.CreateOptions) error {
	if err := faults.Hit("vfs.mkdir", s.home.path); err != nil {
		return err
	}
	if err := os.Mkdir(s.tree, 0o700); err != nil {
		return err
	}
	if from != "" {
		if err := faults.Hit("vfs.copy", from); err != nil {
			return err
		}
		return treecopy.Copy(ctx, s.tree, from, treecopy.Options{
			Unprivileged: s.driver.rootless, IgnoreChownErrors: s.driver.settings.ignoreChownErrors, Move: opts.Move(),
		})
	}
	uid, gid, err := opts.Mapping.RootPair()
	if err != nil {
		return err
	}
	if err := os.Lchown(s.tree, uid, gid); err != nil && !s.driver.settings.ignoreChownErrors {
		return err
	}
	return os.Chmod(s.tree, 0o555) //nolint:gosec // on-disk format, 1.2
}

// ApplyDiff unpacks onto the copy of the parent.
func (s *staged) ApplyDiff(ctx context.Context, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	if s.over {
		return 0, errOver
	}
	s.dirty = true
	if err := faults.Hit("vfs.unpack", s.home.path); err != nil {
		return 0, fmt.Errorf("apply diff to staged layer: %w", err)
	}
	size, err := archive.Extract(ctx, s.tree, diff, archive.ExtractOptions{
		Whiteouts: archive.WhiteoutNone, Mapping: opts.Mapping, Limits: opts.Limits,
		IgnoreChownErrors: s.driver.settings.ignoreChownErrors, NoDevices: s.driver.rootless, ApplyRoot: true,
		Shared: s.shared,
	})
	if err != nil {
		return 0, fmt.Errorf("apply diff to staged layer: %w", err)
	}
	return size, nil
}

// Sync flushes the file system of the home, once for all that was written.
func (s *staged) Sync(context.Context) error {
	if s.over {
		return errOver
	}
	if !s.dirty {
		return nil
	}
	if err := s.driver.syncFilesystem(s.home); err != nil {
		return err
	}
	s.dirty = false
	return nil
}

// Adopt renames the tree into its place. A stage that was not synced yet is synced first.
func (s *staged) Adopt(ctx context.Context, id graphdriver.ID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if s.again {
		return fmt.Errorf("staged as a layer that is there: %w", errdefs.ErrInvalid)
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	unlock, err := s.driver.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.driver.homes.Free(id); err != nil {
		return err
	}
	if err := faults.Hit("vfs.rename", s.home.path); err != nil {
		return err
	}
	if err := atomicfile.RenameNew(s.tree, s.home.Dir(id)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the staged tree was removed by another program: %w", err)
		}
		return err
	}
	if err := s.driver.syncDirs(s.home.layers(), s.temp.Path()); err != nil {
		return errors.Join(err, os.Rename(s.home.Dir(id), s.tree))
	}
	s.over = true
	return nil
}

// Discard removes what is still there.
func (s *staged) Discard() error {
	s.over = true
	return s.temp.Close()
}
