package cli

import (
	"context"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
)

func applyDiffVerb() *Verb {
	file := ""
	return &Verb{
		Name: "applydiff", Aliases: []string{"apply-diff"}, Group: groupChanges, Summary: "Unpack a tar into a layer", Args: "LAYER", Min: 1, Max: 1,
		Detail: "The tar comes from standard input or --file and may be compressed. Its digests become the layer's.",
		Examples: []Example{
			{"Fill a new layer", "strata applydiff --file rootfs.tar LAYER"},
			{"Copy a layer's changes to another", "strata diff one | strata applydiff two"},
		},
		Options: []option.Option{option.Files(option.String(&file, "file,f", "Read the tar from a file instead of standard input"))},
		Objects: []strata.Kind{strata.KindLayer},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			in, err := c.input(ctx, file)
			if err != nil {
				return err
			}
			defer in.Close() // read only: nothing to lose
			got, err := store.ApplyDiff(ctx, c.Args[0], in)
			if err != nil {
				return err
			}
			return c.Show(Result{JSON: applied{Layer: c.Args[0], Diff: string(got.Diff), Blob: string(got.Blob), Bytes: got.DiffSize}})
		}),
	}
}

// applied tells in JSON what applydiff read.
type applied struct {
	Layer string `json:"layer"`
	Diff  string `json:"diff-digest"`
	Blob  string `json:"compressed-diff-digest"`
	Bytes int64  `json:"diff-size"`
}
