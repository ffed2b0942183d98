package cli

import (
	"context"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/oci"
)

func commitVerb() *Verb {
	var names []string
	var author, message, created string
	return &Verb{
		Name: "commit", Group: groupContainers, Summary: "Make an image of a container's changes", Args: "CONTAINER", Min: 1, Max: 1, JSON: true,
		Detail: "The changes become a new layer on top of the container's image. Prints the new image's ID.",
		Examples: []Example{
			{"Keep what was changed in a container", "strata commit --name app:1 --message 'nginx installed' web"},
		},
		Options: []option.Option{
			option.List(&names, "name,n", "Name for the image, repeatable"),
			option.As("TEXT", option.String(&author, "author,a", "Author of the image")),
			option.As("TEXT", option.String(&message, "message,m", "Remark for the image's history")),
			createdOption(&created),
		},
		Objects: []strata.Kind{strata.KindContainer},
		Run: func(ctx context.Context, c *Call) error {
			opts := oci.CommitOptions{Author: author, Message: message}
			var err error
			if opts.Names, err = localNames(names); err != nil {
				return err
			}
			if opts.Created, err = parseCreated(created); err != nil {
				return err
			}
			return commit(ctx, c, opts)
		},
	}
}

func commit(ctx context.Context, c *Call, opts oci.CommitOptions) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	var done func()
	opts.Progress, done = c.progress(ctx)
	made, err := oci.Commit(ctx, store, c.Args[0], opts)
	done()
	if err != nil {
		return err
	}
	return c.Show(builtImage(made))
}
