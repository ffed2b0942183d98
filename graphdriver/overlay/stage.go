package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/tempdir"
)

// errOver reports the use of a stage that was adopted or discarded.
var errOver = errdefs.New(errdefs.ErrInvalid, "staged layer is adopted or discarded already")

// Stage makes a complete layer directory below tempdirs, which only lacks an ID: adopting it
// is one symbolic link and one rename.
func (d *driver) Stage(ctx context.Context, parent graphdriver.ID, opts graphdriver.CreateOptions) (graphdriver.Staged, error) {
	p, err := d.plan(ctx, parent, opts)
	if err != nil {
		return nil, err
	}
	s, err := d.stage(p)
	if err != nil {
		return nil, err
	}
	if opts.Reown == nil {
		return s, nil
	}
	if err := s.reown(ctx, parent, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("copy layer %s with other owners: %w", parent, err), s.Discard())
	}
	s.wrote()
	return s, nil
}

// stage makes the place that a plan describes.
func (d *driver) stage(p *plan) (*staged, error) {
	temp, err := tempdir.New(p.home.Temp())
	if err != nil {
		return nil, err
	}
	s := &staged{driver: d, plan: p, temp: temp, tree: temp.Addition()}
	if err := d.build(p, s.tree, func() error { return nil }); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	s.wrote()
	return s, nil
}

// staged is a layer in tempdirs.
type staged struct {
	driver *driver
	plan   *plan
	temp   *tempdir.Dir
	tree   string
	below  *staged // what it stands on, when that was a stage too
	// again: it begins with the files of a layer that is there, and has nothing of a layer
	// besides. shared: they are the very files of that layer.
	again, shared bool
	// written is which flush was the last to begin before something was written here.
	written uint64
	over    bool // adopted or discarded
	adopted bool
}

// wrote notes that something was written: only a flush from now on covers it.
func (s *staged) wrote() { s.written = s.driver.syncs.begun(s.plan.home) }

// ApplyDiff unpacks into the staged layer.
func (s *staged) ApplyDiff(ctx context.Context, diff io.Reader, opts graphdriver.ApplyOptions) (int64, error) {
	if s.over {
		return 0, errOver
	}
	defer s.wrote()
	if err := faults.Hit("overlay.unpack", s.plan.home.path); err != nil {
		return 0, fmt.Errorf("apply diff to staged layer: %w", err)
	}
	size, err := s.driver.extract(ctx, s.files(), diff, opts, s.shared)
	if err != nil {
		return 0, fmt.Errorf("apply diff to staged layer: %w", err)
	}
	return size, nil
}

// Sync flushes the file system of the home, once for all that was written, unless that
// has happened since.
func (s *staged) Sync(context.Context) error {
	if s.over {
		return errOver
	}
	if s.driver.syncs.since(s.plan.home, s.written) {
		return nil
	}
	return s.driver.syncFilesystem(s.plan.home)
}

// Adopt puts the directory in its place. A stage that was not synced yet is synced first.
func (s *staged) Adopt(ctx context.Context, id graphdriver.ID) error {
	return s.settle(ctx, id, s.adopt)
}

// settle makes sure that the stage can become layer id and lets move do it.
func (s *staged) settle(ctx context.Context, id graphdriver.ID, move func(graphdriver.ID) error) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if s.again {
		return fmt.Errorf("staged as a layer that is there: %w", errdefs.ErrInvalid)
	}
	if s.below != nil && !s.below.adopted {
		return errParentStage
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	unlock, err := s.driver.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.driver.free(id); err != nil {
		return err
	}
	if err := move(id); err != nil {
		return err
	}
	s.over, s.adopted = true, true
	return nil
}

// adopt is move, made durable.
func (s *staged) adopt(id graphdriver.ID) error {
	if err := s.move(id); err != nil {
		return err
	}
	if err := s.driver.syncDirs(s.namedIn()...); err != nil {
		h := s.plan.home
		return errors.Join(err, os.Rename(h.layer(id).dir(), s.tree), remove(h.symlink(s.plan.link)))
	}
	return nil
}

// namedIn are the directories that adopting changes.
func (s *staged) namedIn() []string {
	return []string{s.plan.home.linkDir(), s.plan.home.path, s.temp.Path()}
}

// move renames the tree to its place. After an error nothing has changed.
func (s *staged) move(id graphdriver.ID) error {
	h, l := s.plan.home, s.plan.home.layer(id)
	if err := mkdir(h.linkDir(), 0o755); err != nil {
		return err
	}
	if err := nameLayer(h, s.plan.link, id); err != nil {
		return err
	}
	err := renameNew(s.tree, l.dir())
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the staged tree was removed by another program: %w", err)
	}
	if err != nil {
		return errors.Join(err, remove(h.symlink(s.plan.link)))
	}
	return nil
}

// nameLayer makes the symbolic link of a new layer.
func nameLayer(h home, link linkID, id graphdriver.ID) error {
	if err := faults.Hit("overlay.link", h.path); err != nil {
		return err
	}
	return os.Symlink(target(id), h.symlink(link))
}

// Discard removes what is still there.
func (s *staged) Discard() error {
	s.over = true
	return s.temp.Close()
}

// renameNew is atomicfile.RenameNew, done steadily.
func renameNew(from, to string) error {
	if err := faults.Hit("overlay.rename", to); err != nil {
		return err
	}
	return steadily(func() error { return atomicfile.RenameNew(from, to) })
}

// steadily repeats a rename that met the private mount of the home being made or taken away
// by another process: then the two paths seem to be on different file systems for a moment.
func steadily(rename func() error) (err error) {
	for range 3 {
		if err = rename(); !errors.Is(err, unix.EXDEV) {
			break
		}
	}
	return err
}
