package cli

import (
	"context"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/option"
)

func createImageVerb() *Verb {
	var names []string
	var id, sum string
	meta := &metadataOptions{}
	return &Verb{
		Name: "create-image", Aliases: []string{"createimage"}, Group: groupImages,
		Summary: "Make an image record on top of a layer", Args: "[TOP-LAYER]", Max: 1, JSON: true,
		Detail: "This makes the bare record; `strata import` and `strata commit` make images that other programs can run.",
		Examples: []Example{
			{"Make an image of a layer and those below it", "strata create-image --name app:1 LAYER"},
		},
		Options: append([]option.Option{
			option.List(&names, "name,n", "Name for the image, repeatable"),
			option.String(&id, "id,i", "ID for the image; a random one is made otherwise"),
			option.String(&sum, "digest,d", "Digest that the image is found by"),
		}, meta.options()...),
		Objects: []strata.Kind{strata.KindLayer},
		Run: func(ctx context.Context, c *Call) error {
			text, err := meta.read()
			if err != nil {
				return err
			}
			return createImage(ctx, c, image.CreateOptions{ID: image.ID(id), Names: names, TopLayer: argument(c.Args, 0), Digest: digest.Digest(sum), Metadata: text})
		},
	}
}

func createImage(ctx context.Context, c *Call, opts image.CreateOptions) error {
	if err := checkID(opts.ID, string(opts.ID)); err != nil {
		return err
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	i, err := store.CreateImage(ctx, opts)
	if err != nil {
		return err
	}
	return c.Show(created(i.ID, i.Names, i.Record, func() (any, error) { return object(i.Record, member{"read-only", i.ReadOnly}) }))
}
