package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
)

func imageVerb() *Verb {
	return examineVerb(&Verb{
		Name: "image", Group: groupImages, Summary: "Show images", Args: "IMAGE...",
		Examples: []Example{{"Show an image with its digests and size", "strata image debian"}},
		Objects:  []strata.Kind{strata.KindImage},
	}, func(ctx context.Context, c *Call, s *strata.Store, arg string) (image.Image, error) {
		return s.Image(ctx, c.image(ctx, s, arg))
	}, showImages)
}

func showImages(ctx context.Context, store *strata.Store, list []image.Image) (Result, error) {
	var all []sized[image.Image]
	for _, i := range list {
		size, err := store.ImageSize(ctx, string(i.ID))
		all = append(all, sized[image.Image]{i, size, err})
	}
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, i := range all {
				writeImage(b, i)
			}
		},
		JSON: never(records(list, imageRecord)),
		Rich: func() (any, error) {
			return richList(all, func(i sized[image.Image]) (json.RawMessage, error) {
				derived := append([]member{{"read-only", i.object.ReadOnly}}, i.derived()...)
				if l, err := store.Layer(ctx, string(i.object.TopLayer)); err == nil && l.Chain != "" {
					derived = append(derived, member{"chain-id", l.Chain})
				}
				return object(i.object.Record, derived...)
			})
		},
	}, ctx.Err()
}

func writeImage(b *bytes.Buffer, s sized[image.Image]) {
	i := s.object
	fmt.Fprintf(b, "ID: %s\n", i.ID)
	for _, name := range i.Names {
		fmt.Fprintf(b, "Name: %s\n", name)
	}
	fmt.Fprintf(b, "Top Layer: %s\n", i.TopLayer)
	for _, l := range i.MappedLayers {
		fmt.Fprintf(b, "Top Layer: %s\n", l)
	}
	for _, d := range i.Digests() {
		fmt.Fprintf(b, "Digest: %s\n", d)
	}
	for _, item := range i.BigDataNames {
		fmt.Fprintf(b, "Data: %s\n", item)
	}
	s.write(b)
	if i.ReadOnly {
		fmt.Fprintln(b, "Read Only: true")
	}
}
