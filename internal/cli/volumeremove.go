package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/volume"
)

func volumeRemoveVerb() *Verb {
	var force bool
	return volumeVerb(&Verb{
		Name: "volume rm", Aliases: []string{"volume remove"}, Summary: "Remove volumes with their data", Args: "NAME...",
		Min: 1, Max: unlimited, Volumes: true,
		Detail: "Prints the names of what is gone. A volume that somebody uses stays, also with --force.",
		Examples: []Example{
			{"Remove two volumes", "strata volume rm data cache"},
			{"Forget a volume whose plugin is gone for good", "strata volume rm --force old"},
		},
		Options: []option.Option{option.Bool(&force, "force,f", "A volume that is not there is no error; forget one whose driver fails")},
		Run: withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error {
			gone := []string{}
			for _, arg := range c.Args {
				err := v.Remove(ctx, arg, volume.RemoveOptions{Force: force})
				var own *volume.Error
				switch {
				case err == nil:
					gone = append(gone, arg)
				case force && errors.As(err, &own) && own.Forgotten:
					c.Warn("the volume is forgotten, but its driver failed: " + err.Error())
					gone = append(gone, arg)
				default:
					c.Fail(Failure{Arg: arg, Err: err})
				}
			}
			return c.Text(gone, gone...)
		}),
	})
}

type volumePruneOptions struct {
	all, force bool
	filters    []string
}

func volumePruneVerb() *Verb {
	o := &volumePruneOptions{}
	return volumeVerb(&Verb{
		Name: "volume prune", Summary: "Remove the volumes of the driver local that nobody uses",
		Detail: "Only volumes whose names were made up go, unless --all is given, and none that was made with options.\n" +
			"A filter is label=KEY, label=KEY=VALUE, or label!= with the same behind it for those without.",
		Examples: []Example{
			{"Remove what is left over", "strata volume prune"},
			{"Remove every unused volume apart from some, without being asked", "strata volume prune --all --force --filter label!=keep"},
		},
		Options: []option.Option{
			option.Bool(&o.all, "all,a", "Also volumes with a name that somebody chose"),
			option.As("KEY=VALUE", option.List(&o.filters, "filter", "Only the volumes that match, repeatable")),
			option.Bool(&o.force, "force,f", "Do not ask"),
		},
		Run: func(ctx context.Context, c *Call) error {
			opts, err := o.prune()
			if err != nil {
				return err
			}
			// Asked before anything is opened: nobody waits for a person to answer.
			if !o.force {
				if err := c.agree(ctx, "Remove the volumes that nobody uses?"); err != nil {
					return err
				}
			}
			return withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error { return volumePrune(ctx, c, v, opts) })(ctx, c)
		},
	})
}

func (o *volumePruneOptions) prune() (volume.PruneOptions, error) {
	args, err := filterArguments(o.filters)
	if err != nil {
		return volume.PruneOptions{}, err
	}
	opts, err := volume.PruneFilter(args)
	opts.All = opts.All || o.all
	return opts, err
}

// prunedVolumes is what prune did, with the keys of Docker's answer.
type prunedVolumes struct {
	Removed []string `json:"VolumesDeleted"`
	Freed   int64    `json:"SpaceReclaimed"`
}

func volumePrune(ctx context.Context, c *Call, v *volumes, opts volume.PruneOptions) error {
	done, err := v.Prune(ctx, opts)
	if err != nil {
		return err
	}
	for _, failed := range done.Failed {
		c.Fail(Failure{Arg: failed.Name, Err: failed})
	}
	return c.Show(Result{
		JSON: prunedVolumes{Removed: never(done.Removed), Freed: done.Freed},
		Text: func(b *bytes.Buffer) {
			for _, name := range done.Removed {
				fmt.Fprintln(b, name)
			}
			if c.Terminal.Out {
				fmt.Fprintf(b, "freed: %s\n", table.Size(done.Freed))
			}
		},
	})
}

// agree asks for a yes on standard input.
func (c *Call) agree(ctx context.Context, question string) error {
	if _, err := fmt.Fprintf(c.env.Stderr, "%s [y/N] ", question); err != nil {
		return err
	}
	in := c.stdin(ctx)
	defer in.Close()
	answer, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errdefs.WithHint(errors.New("nothing was removed: the answer was not yes"), "--force does not ask")
}
