package strata

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/moby/sys/user"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/layer"
)

// AutoMapping asks for a mapping to IDs that no container of the store has (on-disk
// format, 7.6). The zero value works the size out.
type AutoMapping struct {
	// Size is how many UIDs and how many GIDs the container gets. 0: as many as the owners
	// in the image's layers and the users and groups in its /etc/passwd and /etc/group
	// need, InitialSize and the store's minimum at least, the store's maximum at most.
	Size uint32
	// InitialSize is the least that is wanted when Size is 0.
	InitialSize uint32
	// PasswdFile and GroupFile are read instead of the image's files: absolute paths of
	// this host.
	PasswdFile, GroupFile string
}

// AutoUserns says where automatic ID mappings take their IDs from.
type AutoUserns struct {
	// User is whose ranges in the files below are taken; "" means "containers". A rootless
	// process takes the IDs of its own user namespace instead, all but root's.
	User string
	// MinSize and MaxSize bound the size that is worked out; 0 means 1024 and 65536.
	MinSize, MaxSize uint32
	// SubUIDs and SubGIDs are the files with the ranges; "" means /etc/subuid and /etc/subgid.
	SubUIDs, SubGIDs string
}

// ErrNotEnoughIDs says that too few IDs are free for an automatic mapping.
var ErrNotEnoughIDs = errdefs.New(errdefs.ErrLimit, "not enough unused IDs in user namespace")

func (a AutoUserns) withDefaults() AutoUserns {
	for _, d := range []struct {
		to      *string
		instead string
	}{{&a.User, "containers"}, {&a.SubUIDs, "/etc/subuid"}, {&a.SubGIDs, "/etc/subgid"}} {
		if *d.to == "" {
			*d.to = d.instead
		}
	}
	if a.MinSize == 0 {
		a.MinSize = 1024
	}
	if a.MaxSize == 0 {
		a.MaxSize = 65536
	}
	return a
}

// allot turns a wish for an automatic mapping into an explicit one. The caller holds
// userns.lock until a container has it.
func (s *Store) allot(ctx context.Context, opts ContainerOptions) (MappingOptions, error) {
	size, err := s.autoSize(ctx, opts)
	if err != nil {
		return MappingOptions{}, err
	}
	available, err := s.availableIDs()
	if err != nil {
		return MappingOptions{}, err
	}
	all, err := s.Containers(ctx)
	if err != nil {
		return MappingOptions{}, err
	}
	var used Mapping
	for _, c := range all {
		used.UIDs, used.GIDs = append(used.UIDs, c.UIDMap...), append(used.GIDs, c.GIDMap...)
	}
	uids, enoughUIDs := idmap.Pick(size, available.UIDs, used.UIDs, opts.Mapping.UIDs)
	gids, enoughGIDs := idmap.Pick(size, available.GIDs, used.GIDs, opts.Mapping.GIDs)
	if !enoughUIDs || !enoughGIDs {
		return MappingOptions{}, s.notEnough(size, len(all))
	}
	return MappingOptions{UIDs: uids, GIDs: gids}, nil
}

func (s *Store) notEnough(size, containers int) error {
	a := s.opts.AutoUserns.withDefaults()
	err := fmt.Errorf("automatic mapping of %d IDs beside those of %d containers: %w", size, containers, ErrNotEnoughIDs)
	if s.opts.Rootless {
		return errdefs.WithHint(err, "remove containers that are not needed, or ask for fewer IDs")
	}
	return errdefs.WithHint(err, fmt.Sprintf("remove containers that are not needed, ask for fewer IDs, or give user %q larger ranges in %s and %s",
		a.User, a.SubUIDs, a.SubGIDs))
}

// autoSize is how many IDs the container needs.
func (s *Store) autoSize(ctx context.Context, opts ContainerOptions) (int, error) {
	auto := *opts.Mapping.Auto
	if auto.Size > 0 {
		return int(auto.Size), nil
	}
	bounds := s.opts.AutoUserns.withDefaults()
	size := int(max(auto.InitialSize, bounds.MinSize))
	needed, err := s.neededIDs(ctx, opts)
	if err != nil {
		return 0, err
	}
	if size = max(size, needed); size > int(bounds.MaxSize) {
		return 0, errdefs.WithHint(
			fmt.Errorf("the container needs a user namespace with size %d that is bigger than the maximum value allowed with userns=auto %d: %w", size, bounds.MaxSize, errdefs.ErrLimit),
			"set auto-userns-max-size in storage.conf, or ask for a size")
	}
	return size, nil
}

// neededIDs looks at the owners in the image's layers, and at its users and groups.
func (s *Store) neededIDs(ctx context.Context, opts ContainerOptions) (int, error) {
	auto := *opts.Mapping.Auto
	if opts.Image == "" {
		return userFiles{passwd: auto.PasswdFile, group: auto.GroupFile}.size()
	}
	top, size, err := s.ownersOf(ctx, opts.Image)
	if err != nil || top == "" {
		return size, err
	}
	files := userFiles{passwd: auto.PasswdFile, group: auto.GroupFile}
	if files.complete() {
		n, err := files.size()
		return max(size, n), err
	}
	b, err := s.BorrowImage(ctx, opts.Image, BorrowOptions{})
	if err != nil {
		return 0, fmt.Errorf("look at the users of image %s: %w", opts.Image, err)
	}
	files.root = b.Path
	n, err := files.size()
	return max(size, n), errors.Join(err, b.Release(context.WithoutCancel(ctx)))
}

// ownersOf returns the image's top layer ("" for none) and the number of IDs that covers
// the owners in its layers, as the records have them. Nobody's does not count.
func (s *Store) ownersOf(ctx context.Context, nameOrID string) (top layer.ID, size int, err error) {
	t, err := s.begin(ctx, want{layers: shared, images: shared})
	if err != nil {
		return "", 0, err
	}
	defer t.end(&err)
	img, err := t.image(nameOrID)
	if err != nil || img.TopLayer == "" {
		return "", 0, err
	}
	stack, err := t.layers.Chain(img.TopLayer)
	if err != nil {
		return "", 0, fmt.Errorf("layers of image %s: %w", img.ID, known(KindLayer, string(img.TopLayer), err))
	}
	for _, l := range stack {
		for _, id := range slices.Concat(l.UIDs, l.GIDs) {
			if id != idmap.Nobody {
				size = max(size, int(id)+1)
			}
		}
	}
	return img.TopLayer, size, nil
}

// availableIDs are the ranges that automatic mappings may use.
func (s *Store) availableIDs() (Mapping, error) {
	if s.opts.Rootless {
		return namespaceIDs()
	}
	a := s.opts.AutoUserns.withDefaults()
	uids, err := subIDs(a.SubUIDs, a.User)
	if err != nil {
		return Mapping{}, err
	}
	gids, err := subIDs(a.SubGIDs, a.User)
	return Mapping{UIDs: uids, GIDs: gids}, err
}

func subIDs(path, name string) ([]IDRange, error) {
	found, err := user.ParseSubIDFileFilter(path, func(s user.SubID) bool { return s.Name == name })
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(found) == 0 {
		return nil, errdefs.WithHint(
			fmt.Errorf("cannot find mappings for user %q: no ranges in %s: %w", name, path, errdefs.ErrNotFound),
			fmt.Sprintf("add a line such as %q to %s, or set root-auto-userns-user in storage.conf", name+":2147483647:2147483648", path))
	}
	var ranges []IDRange
	for _, r := range found {
		ranges = append(ranges, IDRange{HostID: int(r.SubID), Size: int(r.Count)})
	}
	return ranges, nil
}

// namespaceIDs are the IDs of this process's user namespace but root, which is the user.
func namespaceIDs() (m Mapping, err error) {
	uids, err := user.CurrentProcessUIDMap()
	if err != nil {
		return Mapping{}, fmt.Errorf("read own user namespace: %w", err)
	}
	gids, err := user.CurrentProcessGIDMap()
	if err != nil {
		return Mapping{}, fmt.Errorf("read own user namespace: %w", err)
	}
	return Mapping{UIDs: withoutRoot(uids), GIDs: withoutRoot(gids)}, nil
}

func withoutRoot(list []user.IDMap) (ranges []IDRange) {
	for _, m := range list {
		r := IDRange{HostID: int(m.ID), Size: int(m.Count)}
		if r.HostID == 0 {
			r.HostID, r.Size = 1, r.Size-1
		}
		ranges = append(ranges, r)
	}
	return ranges
}
