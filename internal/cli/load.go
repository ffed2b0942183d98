package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/oci"
)

// spoolDir is where large temporary files go when TMPDIR says nothing: unlike
// /tmp it is seldom in memory.
const spoolDir = "/var/tmp"

func (c *Call) tempDir() string {
	if dir := c.env.variable("TMPDIR"); dir != "" {
		return dir
	}
	return spoolDir
}

// nameForm is the hint about names of images.
const nameForm = "names look like app, app:1 or registry.example/team/app:1"

// localNames completes the names that a person gave for a new image.
func localNames(names []string) ([]string, error) {
	var full []string
	for _, name := range names {
		n, err := oci.LocalName(name)
		if err != nil {
			return nil, usagef(nameForm, "--name %s: %v", quoteWord(name), err)
		}
		full = append(full, n)
	}
	return full, nil
}

// parsePlatform reads the option --platform.
func parsePlatform(text string) (v1.Platform, error) {
	p, err := oci.ParsePlatform(text)
	if err != nil {
		return p, usagef("for example linux/arm64", "--platform %s: %v", quoteWord(text), err)
	}
	return p, nil
}

func loadVerb() *Verb {
	var names []string
	var platform string
	return &Verb{
		Name: "load", Group: groupImages, Summary: "Load images from a file or directory", Args: "PATH|-", Min: 1, Max: 1,
		JSON: true, Files: true,
		Detail: "PATH is an OCI image layout or archive, or a docker-archive, plain or compressed; - reads standard input.\n" +
			"Layers that the store has are not unpacked again. Prints the ID of each image.",
		Examples: []Example{
			{"Load what podman or docker saved", "strata load image.tar"},
			{"Load from a pipe under a name", "xz -dc image.tar.xz | strata load --name app:1 -"},
		},
		Options: []option.Option{
			option.List(&names, "name,n", "Name for the image instead of its own, repeatable"),
			option.As("OS/ARCH", option.String(&platform, "platform", "Platform to take from an image for several; this one otherwise")),
		},
		Run: func(ctx context.Context, c *Call) error {
			opts := oci.LoadOptions{}
			var err error
			if opts.Names, err = localNames(names); err != nil {
				return err
			}
			if opts.Platform, err = parsePlatform(platform); err != nil {
				return err
			}
			return load(ctx, c, opts)
		},
	}
}

func load(ctx context.Context, c *Call, opts oci.LoadOptions) (err error) {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	in := c.stdin(ctx)
	defer in.Close() // read only: nothing to lose
	cfg, err := c.Config()
	if err != nil {
		return err
	}
	opened := oci.OpenOptions{TempDir: c.tempDir(), Limits: strata.ConfiguredOptions(cfg).Limits}
	src, err := oci.Open(ctx, c.Args[0], in, opened)
	if err != nil {
		return loadHint(c.Args[0], err)
	}
	defer func() { err = errorsJoin(err, src.Close()) }()
	progress, done := c.progress(ctx)
	opts.Progress = progress
	loaded, err := oci.Load(ctx, store, src, opts)
	done()
	if len(loaded) > 0 || err == nil {
		err = errorsJoin(err, c.Show(loadedImages(ctx, store, loaded)))
	}
	return err
}

// loadHint tells who gave the directory of a root file system what that is for.
func loadHint(path string, err error) error {
	info, statErr := os.Stat(path)
	if statErr != nil || !info.IsDir() || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errdefs.WithHint(err, fmt.Sprintf("if it is a root file system, make an image of it: `strata import %s`", path))
}

// loadedImage is an image that was stored, in JSON.
type loadedImage struct {
	ID           string   `json:"id"`
	Names        []string `json:"names"`
	Existed      bool     `json:"existed"`
	NewLayers    int      `json:"new-layers"`
	ReusedLayers int      `json:"reused-layers"`
	HealedLayers int      `json:"healed-layers"`
}

// newLoaded is what the commands that make or store an image say of it.
func newLoaded(l oci.Loaded) loadedImage {
	return loadedImage{string(l.ID), never(l.Names), l.Existed, l.NewLayers, l.ReusedLayers, l.HealedLayers}
}

// layers tells how many were new, known, and put right.
func (l loadedImage) layers() string {
	text := fmt.Sprintf("%d new, %d known", l.NewLayers, l.ReusedLayers)
	if l.HealedLayers > 0 {
		text += fmt.Sprintf(", %d healed", l.HealedLayers)
	}
	return text
}

func loadedImages(ctx context.Context, store *strata.Store, loaded []oci.Loaded) Result {
	list := []loadedImage{}
	for _, l := range loaded {
		list = append(list, newLoaded(l))
	}
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, l := range list {
				fmt.Fprintln(b, l.ID)
			}
		},
		JSON: list,
		Table: func() (*table.Table, error) {
			t := table.New("NAME", "ID", "SIZE", "LAYERS")
			for _, l := range list {
				size := "?"
				if n, err := store.ImageSize(ctx, l.ID); err == nil {
					size = table.Size(n)
				}
				t.Row(orNone(l.Names)[0], table.ShortID(l.ID), size, l.layers())
			}
			return t, nil
		},
	}
}
