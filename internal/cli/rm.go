package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/layer"
)

// removal are the options that rm and rmi share.
type removal struct {
	all, dryRun, force bool
}

func (r *removal) options(what, force string) []option.Option {
	return []option.Option{
		option.Bool(&r.all, "all,a", "Remove all "+what),
		option.Bool(&r.dryRun, "dry-run,n", "Remove nothing, only print what would be removed"),
		option.Bool(&r.force, "force,f", force),
	}
}

// check refuses to remove nothing, and everything beside something.
func (r *removal) check(c *Call, verb, noun string) error {
	switch {
	case len(c.Args) == 0 && !r.all:
		return usagef("name one, or take all with --all", "%s needs at least 1 %s, got 0", verb, noun)
	case len(c.Args) > 0 && r.all:
		return usagef("leave out --all or the names", "%s: --all removes every %s, and %s is named beside it", verb, noun, quoteWord(c.Args[0]))
	}
	return nil
}

func rmVerb() *Verb {
	r := &removal{}
	return &Verb{
		Name: "rm", Group: groupContainers, Summary: "Remove containers", Args: "CONTAINER...", Max: unlimited, ModernOnly: true,
		Detail: "The container's layer and data go, too; its ID is printed. A mounted container is refused: a program may be at\n" +
			"work in it. With --force it is unmounted, and a container that is not there is no error.",
		Examples: []Example{
			{"Remove a container", "strata rm web"},
			{"Remove all that are not in use", "strata rm --all"},
		},
		Options: r.options("containers", "Remove mounted containers too, and pass over those that are not there"),
		Objects: []strata.Kind{strata.KindContainer},
		Run: func(ctx context.Context, c *Call) error {
			if err := r.check(c, "rm", "container"); err != nil {
				return err
			}
			return r.containers(ctx, c)
		},
	}
}

// removedContainer tells in JSON of a container that went.
type removedContainer struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Layer string `json:"layer"`
}

func (r *removal) containers(ctx context.Context, c *Call) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	args := c.Args
	if r.all {
		list, err := store.Containers(ctx)
		if err != nil {
			return err
		}
		for _, ctr := range list {
			args = append(args, string(ctr.ID))
		}
	}
	gone := []removedContainer{}
	for _, arg := range args {
		ctr, err := r.container(ctx, store, arg)
		switch {
		case err == nil:
			gone = append(gone, removedContainer{arg, string(ctr.ID), string(ctr.Layer)})
		case !r.passesOver(err):
			c.Fail(Failure{Arg: arg, Err: err})
		}
	}
	return c.Show(Result{JSON: gone, Text: func(b *bytes.Buffer) {
		for _, g := range gone {
			fmt.Fprintln(b, g.ID)
		}
	}})
}

// passesOver reports whether an error only says that an object is not there, and need not be:
// it was listed a moment ago, or the user does not mind.
func (r *removal) passesOver(err error) bool {
	if !r.force && !r.all {
		return false
	}
	for _, gone := range []error{container.ErrUnknown, strata.ErrNotAContainer, image.ErrUnknown, strata.ErrNotAnImage} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// container removes one container, unless it is mounted or nothing is to go.
func (r *removal) container(ctx context.Context, store *strata.Store, arg string) (container.Container, error) {
	ctr, err := store.Container(ctx, arg)
	if err != nil {
		return ctr, err
	}
	if err := ofVolume(ctr); err != nil {
		return ctr, err
	}
	if !r.force {
		n, err := store.Mounted(ctx, string(ctr.ID))
		if err != nil && !errors.Is(err, layer.ErrUnknown) {
			return ctr, err
		}
		if n > 0 {
			return ctr, errdefs.WithHint(errdefs.New(errdefs.ErrInUse, fmt.Sprintf("container %s is mounted", ctr.ID)),
				fmt.Sprintf("`strata unmount %s` first, or `strata rm --force %s`", arg, arg))
		}
	}
	if r.dryRun {
		return ctr, nil
	}
	return ctr, store.DeleteContainer(ctx, string(ctr.ID))
}
