package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
)

func containerVerb() *Verb {
	return examineVerb(&Verb{
		Name: "container", Group: groupContainers, Summary: "Show containers", Args: "CONTAINER...",
		Examples: []Example{{"Show a container with its image, layer and size", "strata container web"}},
		Objects:  []strata.Kind{strata.KindContainer},
	}, func(ctx context.Context, _ *Call, s *strata.Store, arg string) (container.Container, error) {
		return s.Container(ctx, arg)
	}, showContainers)
}

func showContainers(ctx context.Context, store *strata.Store, list []container.Container) (Result, error) {
	var all []sized[container.Container]
	names := map[image.ID][]string{}
	for _, c := range list {
		size, err := store.ContainerSize(ctx, string(c.ID))
		all = append(all, sized[container.Container]{c, size, err})
		if c.Image == "" {
			continue
		}
		switch i, err := store.Image(ctx, string(c.Image)); {
		case err == nil:
			names[c.Image] = i.Names
		case !errors.Is(err, image.ErrUnknown):
			return Result{}, err
		}
	}
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, c := range all {
				writeContainer(b, c, names[c.object.Image])
			}
		},
		JSON: never(records(list, containerRecord)),
		Rich: func() (any, error) {
			return richList(all, func(c sized[container.Container]) (json.RawMessage, error) {
				derived := append([]member{{"read-only", false}}, c.derived()...)
				if l, err := store.Layer(ctx, string(c.object.Layer)); err == nil {
					derived = append(derived, mounts(l)...)
				}
				return object(c.object.Record, derived...)
			})
		},
	}, ctx.Err()
}

func writeContainer(b *bytes.Buffer, s sized[container.Container], imageNames []string) {
	c := s.object
	fmt.Fprintf(b, "ID: %s\n", c.ID)
	for _, name := range c.Names {
		fmt.Fprintf(b, "Name: %s\n", name)
	}
	fmt.Fprintf(b, "Image: %s\n", c.Image)
	for _, name := range imageNames {
		fmt.Fprintf(b, "Image name: %s\n", name)
	}
	s.write(b)
	fmt.Fprintf(b, "Layer: %s\n", c.Layer)
	for _, item := range c.BigDataNames {
		fmt.Fprintf(b, "Data: %s\n", item)
	}
}
