package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/oci"
)

type saveOptions struct{ file, format, compression string }

func saveVerb() *Verb {
	o := &saveOptions{format: string(oci.OCIArchive), compression: "none"}
	return &Verb{
		Name: "save", Group: groupImages, Summary: "Save images to a file or directory", Args: "IMAGE...", Min: 1, Max: unlimited, JSON: true,
		Detail: "Layers that nobody changed come out with the very bytes that they were loaded with, before compression.\n" +
			"An image that is named by an ID keeps all its names; otherwise it is saved under the given one.",
		Examples: []Example{
			{"Save an image for other machines", "strata save --output debian.tar debian"},
			{"Save for docker load", "strata save --format docker-archive --output debian.tar debian"},
			{"Copy an image to another store", "strata save debian | strata load --graph /mnt/graph --run /run/graph -"},
		},
		Options: []option.Option{
			option.Files(option.String(&o.file, "output,o", "Write to a file or, for oci-dir, a directory")),
			option.OneOf(option.As("FORMAT", option.String(&o.format, "format", "oci-archive, oci-dir or docker-archive")),
				string(oci.OCIArchive), string(oci.OCIDir), string(oci.DockerArchive)),
			option.OneOf(option.As("KIND", option.String(&o.compression, "compression", "Compression of the layers: gzip, zstd or none")), "gzip", "zstd", "none"),
		},
		Objects: []strata.Kind{strata.KindImage},
		Run:     func(ctx context.Context, c *Call) error { return save(ctx, c, o) },
	}
}

// settings checks the options and returns the library's.
func (o *saveOptions) settings() (oci.SaveOptions, error) {
	opts := oci.SaveOptions{Format: oci.Format(o.format)}
	if formats := []oci.Format{oci.OCIArchive, oci.OCIDir, oci.DockerArchive}; !slices.Contains(formats, opts.Format) {
		return opts, usagef("formats are oci-archive, oci-dir and docker-archive", "--format %s: no such format", quoteWord(o.format))
	}
	switch o.compression {
	case "none":
		opts.Compression = archive.None
	case "gzip":
		opts.Compression = archive.Gzip
	case "zstd":
		opts.Compression = archive.Zstd
	default:
		return opts, usagef("compressions are gzip, zstd and none", "--compression %s: no such compression", quoteWord(o.compression))
	}
	if opts.Format == oci.DockerArchive && opts.Compression != archive.None {
		return opts, usagef("compress the whole file instead, for example with gzip", "a docker-archive has no compressed layers")
	}
	if opts.Format == oci.OCIDir && (o.file == "" || o.file == "-") {
		return opts, usagef("name it with --output", "oci-dir needs a directory")
	}
	return opts, nil
}

func save(ctx context.Context, c *Call, o *saveOptions) error {
	opts, err := o.settings()
	if err != nil {
		return err
	}
	if err := c.bulk(o.file); err != nil {
		return err
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	images, err := c.selected(ctx, store)
	if err != nil {
		return err
	}
	opts.TempDir = c.tempDir()
	var done func()
	opts.Progress, done = c.progress(ctx)
	if o.file == "" || o.file == "-" {
		err = oci.SaveStream(ctx, store, c.Out, images, opts)
	} else if err = checkFolder(o.file); err == nil {
		err = oci.SaveFile(ctx, store, o.file, images, opts)
	}
	done()
	if err != nil || !c.JSON || o.file == "" {
		return err
	}
	return c.Show(Result{JSON: savedImages{File: o.file, Format: o.format, Images: c.Args}})
}

// checkFolder has a missing folder named, and not the temporary file that could not
// be made in it.
func checkFolder(path string) error {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return errdefs.WithHint(fmt.Errorf("write %s: %w", path, err), "make the folder first: mkdir -p "+dir)
	}
	return nil
}

// savedImages tells in JSON what save wrote.
type savedImages struct {
	File   string   `json:"file"`
	Format string   `json:"format"`
	Images []string `json:"images"`
}

// selected finds the images that the arguments name, and the name of each to save it under.
func (c *Call) selected(ctx context.Context, store *strata.Store) ([]oci.Selected, error) {
	var list []oci.Selected
	for _, arg := range c.Args {
		i, err := store.Image(ctx, c.image(ctx, store, arg))
		if err != nil {
			return nil, err
		}
		s := oci.Selected{Image: string(i.ID)}
		for _, name := range append([]string{arg}, oci.Candidates(arg)...) {
			if slices.Contains(i.Names, name) && !strings.HasPrefix(string(i.ID), arg) {
				s.Names = []string{name}
				break
			}
		}
		list = append(list, s)
	}
	return list, nil
}
