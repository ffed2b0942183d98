package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
)

type existsOptions struct {
	quiet                   bool
	layer, image, container bool
}

func existsVerb() *Verb {
	o := &existsOptions{}
	return &Verb{
		Name: "exists", Group: groupStore, Summary: "Tell whether layers, images or containers exist", Args: "NAME...",
		Min: 1, Max: unlimited, JSON: true,
		Detail: "The exit code says whether all of them exist. --layer, --image and --container make only that kind count.",
		Examples: []Example{
			{"Ask about a name of any kind", "strata exists web"},
			{"Let a script ask for an image", "if strata exists --quiet --image debian; then echo yes; fi"},
		},
		Options: []option.Option{
			option.Bool(&o.quiet, "quiet,q", "Print nothing, only set the exit code"),
			option.Bool(&o.layer, "layer,l", "Only a layer counts"),
			option.Bool(&o.image, "image,i", "Only an image counts"),
			option.Bool(&o.container, "container,c", "Only a container counts"),
		},
		Objects: allKinds(),
		Run:     onStore(func(ctx context.Context, c *Call, store *strata.Store) error { return exists(ctx, c, store, o) }),
	}
}

func exists(ctx context.Context, c *Call, store *strata.Store, o *existsOptions) error {
	answers := map[string]bool{}
	var order []string
	for _, arg := range c.Args {
		if _, asked := answers[arg]; asked {
			continue
		}
		order = append(order, arg)
		any, wanted, err := o.ask(ctx, c, store, arg)
		if err != nil {
			return err
		}
		answers[arg] = any
		if !c.classic() {
			answers[arg] = wanted // the old command answers for any kind here
		}
		if !wanted {
			c.Fail(Failure{Arg: arg, Err: errNotThere, Shown: true})
		}
	}
	r := Result{JSON: answers}
	if !o.quiet {
		r.Text = func(b *bytes.Buffer) {
			for _, arg := range order {
				fmt.Fprintf(b, "%s: %t\n", arg, answers[arg])
			}
		}
	}
	return c.Show(r)
}

// errNotThere makes the exit code for a name that nothing has.
var errNotThere = errdefs.New(errdefs.ErrNotFound, "does not exist")

// ask looks the argument up among all kinds, and among the wanted ones, which
// all have to have it.
func (o *existsOptions) ask(ctx context.Context, c *Call, store *strata.Store, arg string) (any, wanted bool, err error) {
	wanted = true
	for _, k := range []struct {
		kind strata.Kind
		want bool
	}{{strata.KindLayer, o.layer}, {strata.KindImage, o.image}, {strata.KindContainer, o.container}} {
		name := arg
		if k.kind == strata.KindImage {
			name = c.image(ctx, store, arg)
		}
		_, err := store.Find(ctx, name, k.kind)
		if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
			return false, false, err
		}
		any = any || err == nil
		wanted = wanted && (err == nil || !k.want)
	}
	return any, wanted && any, nil
}
