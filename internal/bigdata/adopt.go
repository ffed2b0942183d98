package bigdata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// Adopt turns the stage into the data directory of object id. Items that lie
// there are removed first: the caller knows that no record owns them. An engine's
// own files stay where they are, whatever happens. After an error the stage is
// still there, and of its items some may be in the directory.
func (s *Stage) Adopt(id string) error {
	target := filepath.Join(s.parent, id)
	engine, err := hasUserData(target)
	if err != nil {
		return fmt.Errorf("look for left-over data of %s: %w", id, err)
	}
	if err := removeItems(target); err != nil {
		return fmt.Errorf("remove left-over data of %s: %w", id, err)
	}
	adopt := s.rename
	if engine {
		adopt = s.fill
	}
	if err := adopt(target); err != nil {
		return fmt.Errorf("adopt data of %s: %w", id, err)
	}
	s.path = ""
	return errors.Join(s.syncParent(s.parent), s.release())
}

// rename makes the stage the directory target, which is not there.
func (s *Stage) rename(target string) error {
	if err := faults.Hit("bigdata.adopt", target); err != nil {
		return err
	}
	return os.Rename(s.path, target)
}

// fill moves the items into the directory target. An engine's files in it are not moved
// into the stage instead: with the stage they would go.
func (s *Stage) fill(target string) error {
	items, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := faults.Hit("bigdata.adopt", target); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(s.path, item.Name()), filepath.Join(target, item.Name())); err != nil {
			return err
		}
	}
	if err := s.syncParent(target); err != nil {
		return err
	}
	return os.Remove(s.path)
}

// AdoptItem moves one staged item into the data directory of object id, replacing
// an item of that key.
func (s *Stage) AdoptItem(id, key string) error {
	name, err := newFileName(key)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.parent, id)
	if err := makeDir(dir, s.opts); err != nil {
		return err
	}
	if err := faults.Hit("bigdata.adopt", dir); err != nil {
		return fmt.Errorf("adopt data item %q: %w", key, err)
	}
	if err := os.Rename(filepath.Join(s.path, name), filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("adopt data item %q: %w", key, err)
	}
	return s.syncParent(dir)
}

func (s *Stage) syncParent(dir string) error {
	if s.opts.NoSync {
		return nil
	}
	return atomicfile.SyncDir(dir)
}

// hasUserData reports whether an engine keeps files in an object's directory. What is
// no directory, be it a link to one, has none.
func hasUserData(dir string) (bool, error) {
	info, err := os.Lstat(dir)
	if err == nil && info.IsDir() {
		_, err = os.Lstat(filepath.Join(dir, UserData))
		if err == nil {
			return true, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return false, err
}

// removeItems removes an object's directory, but for what an engine keeps in it.
func removeItems(dir string) error {
	engine, err := hasUserData(dir)
	if err != nil {
		return err
	}
	if !engine {
		return removeAll(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != UserData {
			if err := removeAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
