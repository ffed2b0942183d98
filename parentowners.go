package strata

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/stratastore/strata/layer"
)

// LayerParentOwners returns the owners of the directories above a layer's mount
// point that its ID mapping does not cover, each once and ascending: a process in
// that user namespace may not pass them. layer.ErrNotMounted if it is not mounted.
func (s *Store) LayerParentOwners(ctx context.Context, nameOrID string) (uids, gids []int, err error) {
	l, err := s.Layer(ctx, nameOrID)
	if err != nil {
		return nil, nil, err
	}
	return parentOwners(l)
}

// ContainerParentOwners is LayerParentOwners for a container's layer.
func (s *Store) ContainerParentOwners(ctx context.Context, nameOrID string) (uids, gids []int, err error) {
	c, err := s.Container(ctx, nameOrID)
	if err != nil {
		return nil, nil, err
	}
	return s.LayerParentOwners(ctx, string(c.Layer))
}

func parentOwners(l layer.Layer) (uids, gids []int, err error) {
	if l.MountPath == "" {
		return nil, nil, layer.ErrNotMounted
	}
	m := l.Mapping()
	rootUID, rootGID, err := m.RootPair()
	if err != nil {
		return nil, nil, fmt.Errorf("layer %s: %w", l.ID, err)
	}
	for dir := filepath.Dir(l.MountPath); dir != "/"; dir = filepath.Dir(dir) {
		uid, gid, err := owner(dir)
		if err != nil {
			return nil, nil, err
		}
		if _, _, err := m.ToContainer(uid, rootGID); err != nil {
			uids = append(uids, uid)
		}
		if _, _, err := m.ToContainer(rootUID, gid); err != nil {
			gids = append(gids, gid)
		}
	}
	return distinct(uids), distinct(gids), nil
}

func owner(dir string) (uid, gid int, err error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("look at directories above a mount point: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("owner of %s is not known on this system", dir)
	}
	return int(st.Uid), int(st.Gid), nil
}

func distinct(ids []int) []int {
	slices.Sort(ids)
	return slices.Compact(ids)
}
