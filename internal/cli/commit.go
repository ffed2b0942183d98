package cli

import (
	"context"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/oci"
)

func commitVerb() *Verb {
	var names, changes []string
	var author, message, created, epoch string
	return &Verb{
		Name: "commit", Group: groupContainers, Summary: "Make an image of a container's changes", Args: "CONTAINER", Min: 1, Max: 1, JSON: true,
		Detail: "The changes become a new layer on top of the container's image. Prints the new image's ID.",
		Examples: []Example{
			{"Keep what was changed in a container", "strata commit --name app:1 --message 'nginx installed' web"},
			{"Say what runs in it", `strata commit --name app:1 --change 'CMD ["nginx"]' --change 'ENV LANG=C.UTF-8' web`},
			{"Make the same image ID of the same changes", "strata commit --source-date-epoch 1767225600 --name app:1 web"},
		},
		Options: []option.Option{
			option.List(&names, "name,n", "Name for the image, repeatable"),
			option.As("TEXT", option.String(&author, "author,a", "Author of the image")),
			option.As("TEXT", option.String(&message, "message,m", "Remark for the image's history")),
			option.As("INSTRUCTION", option.List(&changes, "change,c", "Change of the configuration as in a Dockerfile (CMD, ENV, …), repeatable")),
			createdOption(&created),
			epochOption(&epoch),
		},
		Objects: []strata.Kind{strata.KindContainer},
		Run: func(ctx context.Context, c *Call) error {
			opts := oci.CommitOptions{Author: author, Message: message}
			var err error
			if opts.Names, err = localNames(names); err != nil {
				return err
			}
			if opts.Created, err = parseTime("--created", created); err != nil {
				return err
			}
			if opts.Epoch, err = parseTime("--source-date-epoch", epoch); err != nil {
				return err
			}
			if opts.Edit, err = editing(changes); err != nil {
				return err
			}
			return commit(ctx, c, opts)
		},
	}
}

// editing makes one change of several, nil of none; they happen in their order.
func editing(texts []string) (oci.Change, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	var list []oci.Change
	for _, text := range texts {
		change, err := oci.ParseChange(text)
		if err != nil {
			return nil, usagef("use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR", "%v", err)
		}
		list = append(list, change)
	}
	return func(c *v1.ImageConfig) error {
		for _, change := range list {
			if err := change(c); err != nil {
				return err
			}
		}
		return nil
	}, nil
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
