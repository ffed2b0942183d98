package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/internal/cli/option"
)

func createContainerVerb() *Verb {
	var names []string
	var id string
	var volatile bool
	meta, maps := &metadataOptions{}, &mapOptions{}
	options := []option.Option{
		option.List(&names, "name,n", "Name for the container, repeatable"),
		option.String(&id, "id,i", "ID for the container; a random one is made otherwise"),
		option.Bool(&volatile, "volatile", "Do not sync the container's files: they may be lost when the machine crashes"),
	}
	return &Verb{
		Name: "create-container", Aliases: []string{"createcontainer"}, Group: groupContainers,
		Summary: "Make a container from an image", Args: "IMAGE", Min: 1, Max: 1, JSON: true,
		Detail: "The container gets a writable layer on top of the image's. IMAGE may be \"\" for a container that starts empty.",
		Examples: []Example{
			{"Make a container and mount it", "strata create-container --name web debian && strata mount web"},
			{"Make a container whose root is user 100000 outside", "strata create-container --uidmap 0:100000:65536 --gidmap 0:100000:65536 debian"},
		},
		Options: append(append(options, meta.options()...), maps.options()...),
		Objects: []strata.Kind{strata.KindImage},
		Run: func(ctx context.Context, c *Call) error {
			text, err := meta.read()
			if err != nil {
				return err
			}
			mapping, err := maps.mapping()
			if err != nil {
				return err
			}
			return createContainer(ctx, c, strata.ContainerOptions{
				ID: container.ID(id), Names: names, Image: c.Args[0], Metadata: text, Mapping: mapping, Volatile: volatile,
			})
		},
	}
}

func createContainer(ctx context.Context, c *Call, opts strata.ContainerOptions) error {
	if err := checkID(opts.ID, string(opts.ID)); err != nil {
		return err
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	opts.Image = c.image(ctx, store, opts.Image)
	ctr, err := store.CreateContainer(ctx, opts)
	if err != nil {
		return nameHolder(ctx, store, opts.Names, err)
	}
	return c.Show(created(ctr.ID, ctr.Names, ctr.Record, nil))
}

// nameHolder says which container has one of the names, as the old command does.
func nameHolder(ctx context.Context, store *strata.Store, names []string, err error) error {
	if !errors.Is(err, container.ErrDuplicateName) {
		return err
	}
	for _, name := range names {
		if holder, findErr := store.Container(ctx, name); findErr == nil && slices.Contains(holder.Names, name) {
			return fmt.Errorf("the container name %q is already in use by %s. You have to remove that container to be able to reuse that name: %w",
				name, holder.ID, container.ErrDuplicateName)
		}
	}
	return err
}
