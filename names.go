package strata

import (
	"context"
	"errors"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// Names returns the names of a layer, else an image, else a container. An
// *UnknownError about a layer if there is nothing of that name.
func (s *Store) Names(ctx context.Context, nameOrID string) ([]string, error) {
	o, err := s.findAny(ctx, nameOrID)
	return o.Names, err
}

// findAny is Find in the usual order with the error of the naming verbs.
func (s *Store) findAny(ctx context.Context, nameOrID string) (Object, error) {
	o, err := s.Find(ctx, nameOrID)
	return o, noObject(nameOrID, err)
}

// noObject is the naming verbs' wording of ErrNotAnID.
func noObject(nameOrID string, err error) error {
	if errors.Is(err, ErrNotAnID) {
		return &UnknownError{Kind: KindLayer, Name: nameOrID}
	}
	return err
}

// renamable tells what names can be given to: not layers of additional stores.
func renamable(o Object) bool { return !o.ReadOnly || o.Kind == KindImage }

// SetNames replaces the names of a layer, else an image, else a container and
// returns the result. Repeated names count once. A name of another object of the
// kind moves here silently; images keep old names in their history. An image of
// an additional store is copied into the written store first. An *UnknownError
// about a layer if there is nothing of that name, or only in an additional store;
// errdefs.ErrInvalid for a name that is empty, more than a line, or not UTF-8.
func (s *Store) SetNames(ctx context.Context, nameOrID string, names []string) ([]string, error) {
	return s.rename(ctx, nameOrID, names, setNames)
}

// AddNames puts names in front of those that the object has, in the order given;
// all else is as in SetNames.
func (s *Store) AddNames(ctx context.Context, nameOrID string, names []string) ([]string, error) {
	return s.rename(ctx, nameOrID, names, addNames)
}

// RemoveNames takes names away; those that the object has not are no error. All
// else is as in SetNames.
func (s *Store) RemoveNames(ctx context.Context, nameOrID string, names []string) ([]string, error) {
	return s.rename(ctx, nameOrID, names, removeNames)
}

// nameChange is what happens to a list of names.
type nameChange int

const (
	setNames nameChange = iota
	addNames
	removeNames
)

// rename finds the object, then changes it by its ID under the exclusive lock of
// its kind alone.
func (s *Store) rename(ctx context.Context, nameOrID string, names []string, change nameChange) (result []string, err error) {
	o, err := s.findWhere(ctx, nameOrID, anyOrder, renamable)
	if err != nil {
		return nil, noObject(nameOrID, err)
	}
	t, err := s.begin(ctx, writing(o.Kind))
	if err != nil {
		return nil, err
	}
	defer t.end(&err)
	switch o.Kind {
	case KindLayer:
		result, err = t.renameLayer(layer.ID(o.ID), names, change)
	case KindImage:
		result, err = t.renameImage(ctx, image.ID(o.ID), names, change)
	case KindContainer:
		result, err = t.renameContainer(container.ID(o.ID), names, change)
	}
	if err == nil {
		err = t.commitKind(ctx, o.Kind)
	}
	return result, gone(o.Kind, nameOrID, err)
}

// gone is the naming verbs' error about an object that vanished, or that can not
// be changed.
func gone(kind Kind, nameOrID string, err error) error {
	if isUnknown(known(kind, nameOrID, err)) {
		return &UnknownError{Kind: KindLayer, Name: nameOrID}
	}
	return err
}

func (t *tx) renameLayer(id layer.ID, names []string, change nameChange) ([]string, error) {
	l, err := t.layers.Get(id)
	if err != nil {
		return nil, err
	}
	if l.ReadOnly { // the written store's of that ID vanished meanwhile
		return nil, layer.ErrUnknown
	}
	apply := map[nameChange]func(layer.ID, ...string) error{
		setNames: t.writeLayers.SetNames, addNames: t.writeLayers.AddNames, removeNames: t.writeLayers.RemoveNames,
	}[change]
	if err := apply(id, names...); err != nil {
		return nil, err
	}
	l, err = t.layers.Get(id)
	return l.Names, err
}

func (t *tx) renameImage(ctx context.Context, id image.ID, names []string, change nameChange) ([]string, error) {
	apply := map[nameChange]func(context.Context, image.ID, []string) ([]string, error){
		setNames: t.writeImages.SetNames, addNames: t.writeImages.AddNames, removeNames: t.writeImages.RemoveNames,
	}[change]
	return apply(ctx, id, names)
}

func (t *tx) renameContainer(id container.ID, names []string, change nameChange) ([]string, error) {
	apply := map[nameChange]func(container.ID, []string) ([]string, error){
		setNames: t.writeContainers.SetNames, addNames: t.writeContainers.AddNames, removeNames: t.writeContainers.RemoveNames,
	}[change]
	return apply(id, names)
}
