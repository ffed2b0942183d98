package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

func imagesVerb() *Verb {
	var quiet bool
	return &Verb{
		Name: "images", Group: groupImages, Summary: "List the images", JSON: true,
		Examples: []Example{
			{"List the images", "strata images"},
			{"Print only the IDs", "strata images --quiet"},
		},
		Options: []option.Option{option.Bool(&quiet, "quiet,q", "Print only the IDs")},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			list, err := store.Images(ctx)
			if err != nil {
				return err
			}
			return c.Show(imageList(ctx, c, store, list, quiet))
		}),
	}
}

func imagesByDigestVerb() *Verb {
	var quiet bool
	return &Verb{
		Name: "images-by-digest", Group: groupImages, Summary: "List the images that a digest finds",
		Args: "DIGEST", Min: 1, Max: 1, JSON: true,
		Detail:   "The digest is that of any manifest of the image. None found is success without output.",
		Examples: []Example{{"Find the image of a manifest", "strata images-by-digest sha256:DIGEST"}},
		Options:  []option.Option{option.Bool(&quiet, "quiet,q", "Print only the IDs")},
		Run: func(ctx context.Context, c *Call) error {
			d := digest.Digest(c.Args[0])
			if err := d.Validate(); err != nil {
				return errdefs.WithHint(invalidf("%v", err), digestForm)
			}
			store, err := c.Store(ctx)
			if err != nil {
				return err
			}
			found, err := store.ImagesByDigest(ctx, d)
			if err != nil {
				return err
			}
			r := imageList(ctx, c, store, found, quiet)
			if len(found) == 0 {
				r.JSON = []image.Record{} // unlike the list of all images, this one is never null
			}
			return c.Show(r)
		},
	}
}

// imageList shows images. Their sizes are only looked up where they are shown.
func imageList(ctx context.Context, c *Call, store *strata.Store, list []image.Image, quiet bool) Result {
	r := Result{
		Text: func(b *bytes.Buffer) {
			for _, i := range list {
				fmt.Fprintln(b, i.ID)
				if !quiet {
					imageNotes(b, i)
				}
			}
		},
		JSON: records(list, imageRecord),
		Rich: func() (any, error) {
			idx, err := takeIndex(ctx, store)
			if err != nil {
				return nil, err
			}
			return richList(list, func(i image.Image) (json.RawMessage, error) { return richImage(i, idx) })
		},
	}
	if !quiet {
		r.Table = func() (*table.Table, error) {
			idx, err := takeIndex(ctx, store)
			if err != nil {
				return nil, err
			}
			return imageTable(c, idx, list), nil
		}
	}
	return r
}

func imageNotes(b *bytes.Buffer, i image.Image) {
	for _, name := range i.Names {
		fmt.Fprintf(b, "\tname: %s\n", name)
	}
	for _, d := range i.Digests() {
		fmt.Fprintf(b, "\tdigest: %s\n", d)
	}
	for _, item := range i.BigDataNames {
		fmt.Fprintf(b, "\tdata: %s\n", item)
	}
}

func imageTable(c *Call, idx *index, list []image.Image) *table.Table {
	t := table.New("NAME", "ID", "SIZE", "CREATED")
	for _, i := range list {
		size := "?"
		if n, ok := idx.imageSize(i); ok {
			size = table.Size(n)
		}
		for n, name := range orNone(i.Names) {
			if n == 0 {
				t.Row(name, table.ShortID(string(i.ID)), size, table.Age(i.Created, c.Now))
				continue
			}
			t.Row(name, table.ShortID(string(i.ID)), "", "")
		}
	}
	return t
}
