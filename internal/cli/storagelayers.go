package cli

import (
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/layer"
)

func storageLayersVerb() *Verb {
	return &Verb{
		Name: "storage-layers", Group: groupLayers, Summary: "List the layers that the storage driver has", JSON: true,
		Detail:   "A layer that is here and not in `strata layers` is a leftover.",
		Examples: []Example{{"Find layers without a record", "diff <(strata storage-layers) <(strata layers --quick | sort)"}},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			ids, err := store.DriverLayers(ctx)
			if err != nil {
				return err
			}
			var lines []string
			for _, id := range ids {
				lines = append(lines, string(id))
			}
			return c.Show(Result{Text: printLines(lines), JSON: lines, Rich: func() (any, error) { return never(lines), nil }})
		}),
	}
}

func createStorageLayerVerb() *Verb {
	var id, label string
	var readOnly bool
	maps := &mapOptions{}
	return &Verb{
		Name: "create-storage-layer", Group: groupLayers, Summary: "Make a layer in the storage driver only, without a record", Args: "[PARENT]",
		Max: 1, JSON: true,
		Detail:   "This is for tests of checking and repair: `strata layers` does not list such a layer.",
		Examples: []Example{{"Make a layer that nothing knows of", "strata create-storage-layer --id stray"}},
		Options: append([]option.Option{
			option.String(&id, "id,i", "ID for the layer; a random one is made otherwise"),
			option.As("LABEL", option.String(&label, "label,l", "SELinux label for mounting")),
			option.Bool(&readOnly, "readonly,r", "Make a layer for images, which goes to the image store if there is one"),
		}, maps.options()...),
		Run: func(ctx context.Context, c *Call) error {
			mapping, err := maps.mapping()
			if err != nil {
				return err
			}
			store, err := c.Store(ctx)
			if err != nil {
				return err
			}
			made, err := store.CreateDriverLayer(ctx, strata.LayerOptions{
				ID: layer.ID(id), Parent: argument(c.Args, 0), MountLabel: label, Image: readOnly, Mapping: mapping,
			})
			if err != nil {
				return err
			}
			return c.Text(made, fmt.Sprint(made))
		},
	}
}
