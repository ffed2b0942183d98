package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

// eachDeleted tries every argument and shows the outcomes by argument.
func eachDeleted(ctx context.Context, c *Call, remove func(context.Context, *strata.Store, string) error) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	outcomes := map[string]string{}
	for _, arg := range c.Args {
		err := remove(ctx, store, arg)
		if err == nil {
			outcomes[arg] = ""
			continue
		}
		outcomes[arg] = classicText(err)
		c.Fail(Failure{Arg: arg, Err: err, Line: arg + ": " + outcomes[arg]})
	}
	return c.Show(Result{JSON: outcomes})
}

func deleteVerb() *Verb {
	return &Verb{
		Name: "delete", Group: groupStore, Summary: "Delete containers, images or layers without checks of use",
		Args: "NAME...", Min: 1, Max: unlimited, JSON: true,
		Detail: "A name is looked up among the containers, then the images, then the layers. Nothing is asked: an image's\n" +
			"layers stay, and what refers to a deleted layer is left without it. Prefer delete-container, delete-image and\n" +
			"delete-layer, which refuse to remove what is needed.",
		Examples: []Example{{"Delete an image record but keep its layers", "strata delete IMAGE"}},
		Objects:  []strata.Kind{strata.KindContainer, strata.KindImage, strata.KindLayer},
		Run: func(ctx context.Context, c *Call) error {
			return eachDeleted(ctx, c, func(ctx context.Context, s *strata.Store, arg string) error {
				_, err := s.Delete(ctx, c.object(ctx, s, arg))
				return err
			})
		},
	}
}

func deleteLayerVerb() *Verb {
	return &Verb{
		Name: "delete-layer", Aliases: []string{"deletelayer"}, Group: groupLayers,
		Summary: "Delete layers that nothing uses", Args: "LAYER...", Min: 1, Max: unlimited, JSON: true,
		Detail:   "A layer with children, or used by an image or a container, is refused. A mounted layer is unmounted.",
		Examples: []Example{{"Delete a layer", "strata delete-layer LAYER"}},
		Objects:  []strata.Kind{strata.KindLayer},
		Run: func(ctx context.Context, c *Call) error {
			return eachDeleted(ctx, c, func(ctx context.Context, s *strata.Store, arg string) error { return s.DeleteLayer(ctx, arg) })
		},
	}
}

func deleteContainerVerb() *Verb {
	return &Verb{
		Name: "delete-container", Aliases: []string{"deletecontainer"}, Group: groupContainers,
		Summary: "Delete containers with their layers and data", Args: "CONTAINER...", Min: 1, Max: unlimited, JSON: true,
		Examples: []Example{
			{"Delete a container", "strata delete-container web"},
			{"Delete all containers", "strata containers --json | jq -r '.[].id' | xargs -r strata delete-container"},
		},
		Objects: []strata.Kind{strata.KindContainer},
		Run: func(ctx context.Context, c *Call) error {
			return eachDeleted(ctx, c, func(ctx context.Context, s *strata.Store, arg string) error { return s.DeleteContainer(ctx, arg) })
		},
	}
}

func deleteImageVerb() *Verb {
	var test bool
	v := &Verb{
		Name: "delete-image", Aliases: []string{"deleteimage"}, Group: groupImages,
		Summary: "Delete images and the layers that only they need", Args: "IMAGE...", Min: 1, Max: unlimited, JSON: true,
		Detail: "Each removed layer is listed, from the top. An image that a container was made from is refused.",
		Examples: []Example{
			{"Delete an image", "strata delete-image debian"},
			{"See which layers would go", "strata delete-image --test debian"},
		},
		Objects: []strata.Kind{strata.KindImage},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			return deleteImages(ctx, c, store, test)
		}),
	}
	v.Options = append(v.Options, option.Bool(&test, "test,t", "Remove nothing, only list what would be removed"))
	return v
}

// deletedImage is the outcome for one image in JSON.
type deletedImage struct {
	Layers []string `json:"deleted-layers,omitempty"`
	Error  string   `json:"error,omitempty"`
}

func deleteImages(ctx context.Context, c *Call, store *strata.Store, test bool) error {
	outcomes := map[string]deletedImage{}
	for _, arg := range c.Args {
		gone, err := store.DeleteImage(ctx, c.image(ctx, store, arg), strata.DeleteImageOptions{DryRun: test})
		var d deletedImage
		for _, id := range gone {
			d.Layers = append(d.Layers, string(id))
		}
		if err != nil {
			d = deletedImage{Error: classicText(err)}
			c.Fail(Failure{Arg: arg, Err: err, Line: arg + ": " + d.Error})
		}
		outcomes[arg] = d
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) {
			for _, arg := range c.Args {
				for _, id := range outcomes[arg].Layers {
					fmt.Fprintf(b, "%s: %s\n", arg, id)
				}
			}
		},
		JSON:      outcomes,
		OldStderr: true,
	})
}
