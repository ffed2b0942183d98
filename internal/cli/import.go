package cli

import (
	"context"
	"os"
	"strconv"
	"time"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/oci"
)

// createdOption sets the time of an image; without it the time is now.
func createdOption(p *string) option.Option {
	return option.As("TIME", option.String(p, "created", "Creation time of the image: seconds since 1970 or 2026-01-31T12:00:00Z"))
}

// epochOption makes an image reproducible.
func epochOption(p *string) option.Option {
	return option.As("TIME", option.String(p, "source-date-epoch", "Reproducible image: created then, and no file of the layer newer"))
}

// parseTime reads the value of an option; "" is the zero time.
func parseTime(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("for example 1767225600 or 2026-01-01T00:00:00Z", "%s %s: not a time", name, quoteWord(text))
	}
	return t.UTC(), nil
}

func importVerb() *Verb {
	var names []string
	var message, created, epoch, platform string
	return &Verb{
		Name: "import", Group: groupImages, Summary: "Make an image of a root file system", Args: "TAR|DIR|-", Min: 1, Max: 1,
		JSON: true, Files: true,
		Detail: "The image has one layer. A tar may be compressed; - reads one from standard input. Prints the image's ID.",
		Examples: []Example{
			{"Make an image of a Debian tree", "debootstrap stable rootfs && strata import --name debian rootfs"},
			{"Make the same image ID every time", "strata import --created 0 --name base rootfs.tar"},
			{"… of a tree whose files are made anew", "strata import --source-date-epoch 1767225600 --name base rootfs"},
		},
		Options: []option.Option{
			option.List(&names, "name,n", "Name for the image, repeatable"),
			option.As("TEXT", option.String(&message, "message,m", "Remark for the image's history")),
			createdOption(&created),
			epochOption(&epoch),
			option.As("OS/ARCH", option.String(&platform, "platform", "Platform of the image; this one otherwise")),
		},
		Run: func(ctx context.Context, c *Call) error {
			opts := oci.ImportOptions{Message: message}
			var err error
			if opts.Names, err = localNames(names); err != nil {
				return err
			}
			if opts.Created, err = parseTime("--created", created); err != nil {
				return err
			}
			if opts.Epoch, err = parseTime("--source-date-epoch", epoch); err != nil {
				return err
			}
			if opts.Platform, err = parsePlatform(platform); err != nil {
				return err
			}
			return importImage(ctx, c, opts)
		},
	}
}

func importImage(ctx context.Context, c *Call, opts oci.ImportOptions) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	var done func()
	opts.Progress, done = c.progress(ctx)
	made, err := importFrom(ctx, c, store, opts)
	done()
	if err != nil {
		return err
	}
	return c.Show(builtImage(made))
}

func importFrom(ctx context.Context, c *Call, store *strata.Store, opts oci.ImportOptions) (oci.Loaded, error) {
	path := c.Args[0]
	if info, err := os.Stat(path); path != "-" && err == nil && info.IsDir() {
		return oci.ImportDir(ctx, store, path, opts)
	}
	in, err := c.input(ctx, path)
	if err != nil {
		return oci.Loaded{}, err
	}
	defer in.Close() // read only: nothing to lose
	return oci.Import(ctx, store, in, opts)
}

// builtImage shows an image that was made: its ID alone, for scripts.
func builtImage(l oci.Loaded) Result {
	return Result{
		Text: printLines([]string{string(l.ID)}),
		JSON: newLoaded(l),
	}
}
