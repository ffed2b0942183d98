package cli

import (
	"context"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/layer"
)

// layerOptions are the options of create-layer and import-layer.
type layerOptions struct {
	names    []string
	id       string
	label    string
	readOnly bool
	maps     mapOptions
}

func (o *layerOptions) options() []option.Option {
	return append([]option.Option{
		option.List(&o.names, "name,n", "Name for the layer, repeatable"),
		option.String(&o.id, "id,i", "ID for the layer; a random one is made otherwise"),
		option.As("LABEL", option.String(&o.label, "label,l", "SELinux label for mounting")),
		option.Bool(&o.readOnly, "readonly,r", "Make a layer for images, which goes to the image store if there is one"),
	}, o.maps.options()...)
}

// store are the store's terms for the options and the optional parent argument.
func (o *layerOptions) store(args []string) (strata.LayerOptions, error) {
	if err := checkID(layer.ID(o.id), o.id); err != nil {
		return strata.LayerOptions{}, err
	}
	mapping, err := o.maps.mapping()
	if err != nil {
		return strata.LayerOptions{}, err
	}
	return strata.LayerOptions{
		ID: layer.ID(o.id), Names: o.names, Parent: argument(args, 0), MountLabel: o.label, Image: o.readOnly, Mapping: mapping,
	}, nil
}

func createLayerVerb() *Verb {
	o := &layerOptions{}
	return &Verb{
		Name: "create-layer", Aliases: []string{"createlayer"}, Group: groupLayers,
		Summary: "Make an empty layer", Args: "[PARENT]", Max: 1, JSON: true,
		Detail: "Prints the ID, and the names below it. The layer can be mounted and changed, or filled with applydiff.",
		Examples: []Example{
			{"Make a base layer with a name", "strata create-layer --name base"},
			{"Make a layer on top of it", "strata create-layer base"},
		},
		Options: o.options(), Objects: []strata.Kind{strata.KindLayer},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			opts, err := o.store(c.Args)
			if err != nil {
				return err
			}
			l, err := store.CreateLayer(ctx, opts)
			if err != nil {
				return err
			}
			return c.Show(created(l.ID, l.Names, l.Record, func() (any, error) { return richLayer(l) }))
		}),
	}
}

func importLayerVerb() *Verb {
	o, file := &layerOptions{}, ""
	return &Verb{
		Name: "import-layer", Aliases: []string{"importlayer"}, Group: groupLayers,
		Summary: "Make a layer from a tar", Args: "[PARENT]", Max: 1, JSON: true,
		Detail: "The tar comes from standard input or --file and may be compressed with gzip, zstd, xz or bzip2.\n" +
			"If it is bad, no layer is left behind.",
		Examples: []Example{
			{"Import a base layer", "strata import-layer --name base --file rootfs.tar.gz"},
			{"Import what another layer adds", "strata diff LAYER | strata import-layer base"},
		},
		Options: append(o.options(), option.Files(option.String(&file, "file,f", "Read the tar from a file instead of standard input"))),
		Objects: []strata.Kind{strata.KindLayer},
		Run: func(ctx context.Context, c *Call) error {
			return importLayer(ctx, c, o, file)
		},
	}
}

func importLayer(ctx context.Context, c *Call, o *layerOptions, file string) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	opts, err := o.store(c.Args)
	if err != nil {
		return err
	}
	in, err := c.input(ctx, file)
	if err != nil {
		return err
	}
	defer in.Close() // read only: nothing to lose
	l, err := store.ImportLayer(ctx, opts, in)
	if err != nil {
		return err
	}
	return c.Show(created(l.ID, l.Names, l.Record, func() (any, error) { return richLayer(l) }))
}
