package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

func metadataVerb() *Verb {
	quiet := false
	return &Verb{
		Name: "metadata", Group: groupNames, Summary: "Print the metadata of layers, images or containers", Args: "NAME...",
		Min: 1, Max: unlimited, JSON: true,
		Detail:   "Metadata is a text that whoever made the object left there.",
		Examples: []Example{{"Print the text alone", "strata metadata --quiet CONTAINER"}},
		Options:  []option.Option{option.Bool(&quiet, "quiet,q", "Do not print the names")},
		Objects:  allKinds(),
		Run:      onStore(func(ctx context.Context, c *Call, store *strata.Store) error { return metadata(ctx, c, store, quiet) }),
	}
}

func metadata(ctx context.Context, c *Call, store *strata.Store, quiet bool) error {
	known := map[string]string{}
	for _, arg := range c.Args {
		text, err := store.Metadata(ctx, c.object(ctx, store, arg))
		if err != nil {
			c.Fail(Failure{Arg: arg, Err: err})
			continue
		}
		known[arg] = strings.TrimSuffix(text, "\n")
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) {
			for _, arg := range c.Args {
				text, ok := known[arg]
				if !ok && !c.classic() {
					continue
				}
				if !quiet {
					fmt.Fprintf(b, "%s: ", arg)
				}
				fmt.Fprintln(b, text)
			}
		},
		JSON: known,
	})
}

func setMetadataVerb() *Verb {
	meta := &metadataOptions{}
	return &Verb{
		Name: "set-metadata", Aliases: []string{"setmetadata"}, Group: groupNames, Summary: "Replace the metadata of a layer, image or container",
		Args: "NAME", Min: 1, Max: 1,
		Examples: []Example{{"Leave a note", "strata set-metadata --metadata 'owner: ops' web"}},
		Options:  meta.options(), Objects: allKinds(),
		Run: func(ctx context.Context, c *Call) error {
			if meta.text == "" && meta.file == "" {
				return noMetadata()
			}
			text, err := meta.read()
			if err != nil {
				return err
			}
			store, err := c.Store(ctx)
			if err != nil {
				return err
			}
			return store.SetMetadata(ctx, c.object(ctx, store, c.Args[0]), text)
		},
	}
}

func noMetadata() error {
	return usagef("give it with --metadata or --metadata-file", "no new metadata provided")
}
