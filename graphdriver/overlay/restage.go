package overlay

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/graphdriver/internal/homes"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/treecopy"
)

var (
	_ graphdriver.Restager = (*driver)(nil)
	_ graphdriver.Restaged = (*staged)(nil)
)

// Restage makes a directory like the layer's diff, which is all that Replace swaps.
func (d *driver) Restage(ctx context.Context, id graphdriver.ID, apart bool) (graphdriver.Restaged, error) {
	l, err := d.find(id)
	if err == nil {
		err = l.fillable()
	}
	if err != nil {
		return nil, err
	}
	temp, tree, err := homes.Swappable(l.home)
	if err != nil {
		return nil, err
	}
	s := &staged{driver: d, plan: &plan{home: l.home}, temp: temp, tree: tree, again: true, shared: !apart}
	if err := s.fillAgain(ctx, l); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	s.wrote()
	return s, nil
}

// fillAgain takes over what the layer has. The marks of overlayfs belong to it.
func (s *staged) fillAgain(ctx context.Context, l layerDir) error {
	if err := faults.Hit("overlay.restage", l.home.path); err != nil {
		return err
	}
	if err := os.Mkdir(s.files(), 0o700); err != nil {
		return err
	}
	return treecopy.Copy(ctx, s.files(), l.diff(), treecopy.Options{
		Unprivileged: s.driver.rootless, IgnoreChownErrors: s.driver.settings.ignoreChownErrors,
		AllXattrs: true, Whiteouts: true, Share: s.shared,
	})
}

// files is the directory of files of the stage.
func (s *staged) files() string { return filepath.Join(s.tree, "diff") }

// Generation goes by the directory of files.
func (d *driver) Generation(_ context.Context, id graphdriver.ID) (string, error) {
	l, err := d.find(id)
	if err != nil {
		return "", err
	}
	return homes.Generation(l.diff())
}

// Generation is of the staged files.
func (s *staged) Generation() (string, error) {
	if s.over {
		return "", errOver
	}
	return homes.Generation(s.files())
}
