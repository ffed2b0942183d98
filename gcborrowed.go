package strata

import (
	"context"
	"errors"
	"io/fs"

	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// scanBorrowed looks for the notes of processes that died with a layer mounted. What they were
// copying into it is looked for when the note is collected.
func (o *orphanScan) scanBorrowed() error {
	list, err := unfinished.List(o.store.roots.borrowDir(), o.store.driver.name)
	for _, l := range list {
		switch {
		case l.Alive:
		case l.Mount == nil:
			o.add(orphanFile, KindLayer, "", l.Path, "note of a process that died")
		case l.Mount.Into:
			o.add(orphanCopy, KindLayer, "", l.Path, "copy into layer %s that was killed", l.Mount.Layer)
		default:
			o.add(orphanCopy, KindLayer, "", l.Path, "mount of layer %s by a process that died", l.Mount.Layer)
		}
	}
	return err
}

// collectCopy removes what a dead process was copying into a layer, and its note. No lock is
// held: the layer is mounted for it where there is something to remove.
func (s *Store) collectCopy(ctx context.Context, path string) error {
	l, err := unfinished.Find(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && l.Alive {
		return nil
	}
	if err == nil && !l.Draft { // it could not be done before
		err = s.takeBack(ctx, l)
	}
	if err == nil && l.Mount != nil && l.Mount.Into {
		err = s.sweepLayer(ctx, layer.ID(l.Mount.Layer), l.Mount.Writer)
	}
	if err != nil {
		return err
	}
	return unfinished.Forget(l)
}

// sweepLayer removes what killed copies left in a layer's tree. Where the layer's own
// directory is known, only that is walked; removed is through the mounted tree in any case,
// which others may use.
func (s *Store) sweepLayer(ctx context.Context, id layer.ID, writer string) error {
	names, err := s.ownLeftovers(id, writer)
	whole := errors.Is(err, errNoPlace)
	if err != nil && !whole || !whole && len(names) == 0 {
		return err
	}
	object := string(id)
	if c, err := s.ContainerByLayer(ctx, id); err == nil {
		object = string(c.ID)
	}
	b, err := s.Borrow(ctx, object, BorrowOptions{})
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	err = sweepTree(b.Path, writer, names, whole)
	return errors.Join(err, b.Release(context.WithoutCancel(ctx)))
}

// errNoPlace: the driver keeps to itself where a layer's files are.
var errNoPlace = errors.New("the layer's directory is not known")

// ownLeftovers looks in the layer's own directory; what lies there is visible in its tree.
func (s *Store) ownLeftovers(id layer.ID, writer string) (names []string, err error) {
	if !s.knownDriver() {
		return nil, errNoPlace
	}
	p, err := s.place(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := rootfd.Open(p.diff, rootfd.Options{})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // damage, which has its finding
	}
	if err != nil {
		return nil, err
	}
	names, err = filecopy.Leftovers(root, writer)
	return names, errors.Join(err, root.Close())
}

// sweepTree removes names below path, or with all whatever is left there.
func sweepTree(path, writer string, names []string, all bool) error {
	root, err := rootfd.Open(path, rootfd.Options{})
	if err != nil {
		return err
	}
	if all {
		names, err = filecopy.Leftovers(root, writer)
	}
	for _, name := range names {
		if gone := root.RemoveAll(name); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return errors.Join(err, root.Close())
}
