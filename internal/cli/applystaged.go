package cli

import (
	"context"
	"io"
	"os"
	"strconv"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
)

// partialImages is the key of the configuration that allows what
// applydiff-using-staging-dir does.
const partialImages = "enable_partial_images"

// errPartialDisabled: the configuration does not allow it (command-line reference, 5.9).
var errPartialDisabled = errdefs.WithHint(errdefs.New(errdefs.ErrUnsupported, "partial images are disabled"),
	`set enable_partial_images = "true" in [storage.options.pull_options] of storage.conf, or fill the layer with `+"`strata applydiff`")

func applyStagedVerb() *Verb {
	return &Verb{
		Name: "applydiff-using-staging-dir", Group: groupChanges, Summary: "Fill an empty layer from a directory", Args: "LAYER DIRECTORY", Min: 2, Max: 2,
		Detail: "The directory's files become the layer's, with the digest of the tar that they make. Only drivers that can stage\n" +
			"layers as differences serve it (overlay), and only if the configuration enables partial images.",
		Examples: []Example{{"Fill a new layer", "strata applydiff-using-staging-dir LAYER ./rootfs"}},
		Objects:  []strata.Kind{strata.KindLayer}, Dirs: true,
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			got, err := applyStaged(ctx, c, store)
			if err != nil {
				return err
			}
			return c.Show(Result{JSON: applied{Layer: c.Args[0], Diff: string(got.Diff), Blob: string(got.Blob), Bytes: got.DiffSize}})
		}),
	}
}

func applyStaged(ctx context.Context, c *Call, store *strata.Store) (archive.Ingested, error) {
	none := archive.Ingested{}
	if err := stagingAllowed(c, store); err != nil {
		return none, err
	}
	if err := checkEmpty(ctx, store, c.Args[0]); err != nil {
		return none, err
	}
	info, err := os.Stat(c.Args[1])
	if err != nil {
		return none, err
	}
	if !info.IsDir() {
		return none, usagef("unpack a tar with `strata applydiff`", "%s is not a directory", quoteWord(c.Args[1]))
	}
	r, w := io.Pipe()
	go func() { w.CloseWithError(archive.Pack(ctx, w, c.Args[1], archive.PackOptions{Logger: c.Log})) }()
	defer r.Close() // ends the packing, too
	return store.ApplyDiff(ctx, c.Args[0], r)
}

func stagingAllowed(c *Call, store *strata.Store) error {
	if store.DriverName() != "overlay" {
		return errdefs.WithHint(graphdriver.ErrNotSupported, "fill the layer with `strata applydiff`, which every driver serves")
	}
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	if on, err := strconv.ParseBool(cfg.PullOptions()[partialImages]); err != nil || !on {
		return errPartialDisabled
	}
	return nil
}

// checkEmpty refuses layers that have something in them already.
func checkEmpty(ctx context.Context, store *strata.Store, arg string) error {
	l, err := store.Layer(ctx, arg)
	if err != nil {
		return err
	}
	changes, err := store.Changes(ctx, string(l.ID), "")
	if err != nil {
		return err
	}
	if l.DiffID != "" || len(changes) > 0 {
		return errdefs.WithHint(errdefs.New(errdefs.ErrExists, "layer "+string(l.ID)+" is not empty"), "make a new one with `strata create-layer`")
	}
	return nil
}
