package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
)

func diffVerb() *Verb {
	o := &diffOptions{}
	return &Verb{
		Name: "diff", Group: groupChanges, Summary: "Write a layer as a tar", Args: "LAYER [BASE]", Min: 1, Max: 2,
		Detail: "A layer that came as a tar and was not changed gives back exactly that tar. It is packed the way it came,\n" +
			"unless an option says otherwise. BASE is the layer's parent unless another is named.",
		Examples: []Example{
			{"Check a layer against its recorded digest", "strata diff --uncompressed LAYER | sha256sum"},
			{"Keep what a container changed", "strata diff --gzip --file changes.tar.gz web"},
		},
		Options: []option.Option{
			option.Files(option.String(&o.file, "file,f", "Write to a file instead of standard output")),
			option.Bool(&o.plain, "uncompressed,u", "Do not compress"),
			option.Bool(&o.gzip, "gzip,c", "Compress with gzip"),
			option.Bool(&o.bzip2, "bzip2,bz2,b", "Compress with bzip2 (not supported)"),
			option.Bool(&o.xz, "xz,x", "Compress with xz (not supported)"),
		},
		Objects: []strata.Kind{strata.KindLayer, strata.KindContainer},
		Run:     func(ctx context.Context, c *Call) error { return diff(ctx, c, o) },
	}
}

type diffOptions struct {
	file                   string
	plain, gzip, bzip2, xz bool
}

// compression is the first that applies, in the old command's order.
func (o *diffOptions) compression() strata.Compression {
	switch {
	case o.xz:
		return strata.CompressionXz
	case o.bzip2:
		return strata.CompressionBzip2
	case o.gzip:
		return strata.CompressionGzip
	case o.plain:
		return strata.CompressionNone
	}
	return strata.CompressionRecorded
}

func diff(ctx context.Context, c *Call, o *diffOptions) error {
	if err := c.bulk(o.file); err != nil {
		return err
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	out, err := c.output(o.file)
	if err != nil {
		return err
	}
	defer out.abandon()
	arg, err := c.layer(ctx, store, c.Args[0])
	if err != nil {
		return err
	}
	r, err := store.Diff(ctx, arg, argument(c.Args, 1), strata.DiffOptions{Compression: o.compression()})
	if errors.Is(err, errdefs.ErrUnsupported) {
		return errdefs.WithHint(err, "write it with --gzip or --uncompressed")
	}
	if err != nil {
		return err
	}
	n, err := io.Copy(out, r)
	if err := errorsJoin(err, r.Close()); err != nil {
		return fmt.Errorf("write the diff of %s: %w", c.Args[0], err)
	}
	if err := out.finish(); err != nil || o.file == "" {
		return err
	}
	return c.Show(Result{JSON: written{File: o.file, Bytes: n}})
}

// written tells in JSON what a verb wrote to a file.
type written struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

// bulk refuses, in the modern manner, what would fill a terminal with bytes or
// mix them with JSON.
func (c *Call) bulk(file string) error {
	switch {
	case c.classic() || (file != "" && file != "-"):
		return nil
	case c.Terminal.Out:
		return usagef("name a file with an option, or send the output to a file or a program", "the output is not text, and standard output is a terminal")
	case c.JSON:
		return usagef("name a file with an option to have a summary as JSON", "the output goes to standard output, where JSON would mix with it")
	}
	return nil
}
