package layer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
	"github.com/stratastore/strata/lockfile"
)

// MountsDamage is why the mount counts could not be read, nil if they could: an
// errdefs.ErrCorrupt.
func (tx *ReadTx) MountsDamage() error { return tx.damage }

// Recount writes mount counts that can not be read again, by what the kernel has mounted: one
// for each layer that is. What was in the file's place is given to putAway first. Counts
// that can be read stay as they are.
func (s *Store) Recount(ctx context.Context, putAway func(path string) error) (err error) {
	tx, err := s.View(ctx)
	if err != nil {
		return err
	}
	defer closing(&err, tx)
	mounted, err := tx.allMounted(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(s.opts.RunDir, mountsName)
	held, err := lockfile.New(filepath.Join(s.opts.RunDir, mountsLock), lockfile.Options{Logger: s.opts.Logger}).Exclusive(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Unlock()) }()
	if readable(path) {
		return nil // somebody did it already
	}
	text, err := json.Marshal(mounted)
	if err != nil {
		return err
	}
	if err := putAway(path); err != nil {
		return err
	}
	if err := faults.Hit("layer.recount", path); err != nil {
		return fmt.Errorf("count mounts: %w", err)
	}
	if _, err := held.Touch(); err != nil {
		return err
	}
	_, err = atomicfile.Write(path, text, atomicfile.Options{Mode: 0o600, NoSync: true})
	return err
}

// allMounted are the layers that the kernel has mounted.
func (tx *ReadTx) allMounted(ctx context.Context) ([]mountRecord, error) {
	list := []mountRecord{}
	state, ok := tx.store.driver().(graphdriver.MountState)
	all, err := tx.Layers()
	if err != nil || !ok {
		return list, err
	}
	for _, l := range all {
		path, is, err := state.Mounted(ctx, graphdriver.ID(l.ID))
		if is && err == nil {
			is, err = mountapi.IsMountPoint(path) // drivers that mount nothing say so of every layer
		}
		if err != nil {
			return nil, fmt.Errorf("mount state of layer %s: %w", l.ID, err)
		}
		if is {
			list = append(list, mountRecord{ID: l.ID, Path: path, Count: 1})
		}
	}
	return list, nil
}

// readable reports whether mount counts can be read, or there are none.
func readable(path string) bool {
	data, err := atomicfile.Read(path)
	var list []mountRecord
	return os.IsNotExist(err) || err == nil && (len(data) == 0 || json.Unmarshal(data, &list) == nil)
}
