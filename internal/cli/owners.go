package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
)

// owners are the answer of a parent-owners verb about one object. The keys are
// the old command's.
type owners struct {
	ID   string
	UIDs []int
	GIDs []int
}

type ownersFunc func(ctx context.Context, s *strata.Store, arg string) (id string, uids, gids []int, err error)

func layerOwnersVerb() *Verb {
	return ownersVerb(&Verb{
		Name: "layer-parent-owners", Args: "LAYER...", Group: groupLayers,
		Summary: "Print who owns the directories above a layer's mount point", Objects: []strata.Kind{strata.KindLayer},
		Detail:   "Owners that the layer's ID maps cover are left out.",
		Examples: []Example{{"Print the owners", "strata layer-parent-owners LAYER"}},
	}, "LayerParentOwner", false, func(ctx context.Context, s *strata.Store, arg string) (string, []int, []int, error) {
		l, err := s.Layer(ctx, arg)
		if err != nil {
			return "", nil, nil, err
		}
		uids, gids, err := s.LayerParentOwners(ctx, string(l.ID))
		return string(l.ID), uids, gids, err
	})
}

func containerOwnersVerb() *Verb {
	return ownersVerb(&Verb{
		Name: "container-parent-owners", Args: "CONTAINER...", Group: groupContainers,
		Summary: "Print who owns the directories above a container's mount point", Objects: []strata.Kind{strata.KindContainer},
		Detail:   "Owners that the container's ID maps cover are left out.",
		Examples: []Example{{"Print the owners", "strata container-parent-owners web"}},
	}, "ContainerParentOwner", true, func(ctx context.Context, s *strata.Store, arg string) (string, []int, []int, error) {
		c, err := s.Container(ctx, arg)
		if err != nil {
			return "", nil, nil, err
		}
		uids, gids, err := s.ContainerParentOwners(ctx, string(c.ID))
		return string(c.ID), uids, gids, err
	})
}

// ownersVerb asks about each argument. title stands before errors of asking;
// empty says that empty lists are printed in text.
func ownersVerb(v *Verb, title string, empty bool, ask ownersFunc) *Verb {
	v.Min, v.Max, v.JSON = 1, unlimited, true
	v.Run = onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
		var found []owners
		for _, arg := range c.Args {
			id, uids, gids, err := ask(ctx, store, arg)
			switch {
			case err == nil:
				found = append(found, owners{id, uids, gids})
			case id == "" && errors.Is(err, errdefs.ErrNotFound):
				c.Fail(Failure{Arg: arg, Err: err})
			default:
				c.Fail(Failure{Arg: arg, Err: err, Line: title + ": " + classicText(err), InJSON: true})
			}
		}
		return c.showOwners(found, empty)
	})
	return v
}

// showOwners prints one JSON object per line in the classic manner, and an array
// in the modern one.
func (c *Call) showOwners(found []owners, empty bool) error {
	if c.JSON && c.classic() {
		for _, o := range found {
			if err := c.Show(Result{JSON: o}); err != nil {
				return err
			}
		}
		return nil
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) {
			for _, o := range found {
				fmt.Fprintf(b, "ID: %s\n", o.ID)
				writeOwners(b, "UIDs", o.UIDs, empty)
				writeOwners(b, "GIDs", o.GIDs, empty)
			}
		},
		JSON: never(found),
		Rich: func() (any, error) {
			list := never(found)
			for i := range list {
				list[i].UIDs, list[i].GIDs = never(list[i].UIDs), never(list[i].GIDs)
			}
			return list, nil
		},
	})
}

func writeOwners(b *bytes.Buffer, label string, ids []int, empty bool) {
	if len(ids) > 0 || empty {
		fmt.Fprintf(b, "%s: %v\n", label, ids)
	}
}
