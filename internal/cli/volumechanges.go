package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/volume/ontop"
)

// volumeChange is a changed path in JSON, as docker diff's interface has it.
type volumeChange struct {
	Kind string
	Path string
}

func volumeDiffVerb() *Verb {
	return volumeVerb(&Verb{
		Name: "volume diff", Summary: "List what a volume changed on top of its base", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail:   "Each line is A for added, C for changed or D for deleted, and a path. For volumes of the driver ontop.",
		Examples: []Example{{"See what a build wrote", "strata volume diff preview"}},
		Run: withVolumes(true, func(ctx context.Context, c *Call, v *volumes) error {
			d, err := v.onTop(ctx, c.Args[0])
			if err != nil {
				return err
			}
			changes, err := d.Diff(ctx, c.Args[0])
			if err != nil {
				return err
			}
			return c.Show(volumeChanges(changes))
		}),
	})
}

func volumeChanges(changes []ontop.Change) Result {
	list := []volumeChange{}
	for _, change := range changes {
		list = append(list, volumeChange{change.Kind.String(), change.Path})
	}
	return Result{JSON: list, Text: func(b *bytes.Buffer) {
		for _, l := range list {
			fmt.Fprintf(b, "%s %s\n", l.Kind, l.Path)
		}
	}}
}

func volumeCommitVerb() *Verb {
	var file, dir string
	return volumeVerb(&Verb{
		Name: "volume commit", Summary: "Save a volume's changes as a layer tar, or its content as a directory", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail: "Nobody may use the volume meanwhile, and it stays as it is. The tar has deletions as other engines write\n" +
			"them, so it is a layer on top of the base. The directory must not be there; it appears complete or not at all.\n" +
			"For volumes of the driver ontop.",
		Examples: []Example{
			{"Make a layer of the changes", "strata volume commit --output changes.tar preview"},
			{"Keep the outcome beside the base", "strata volume commit --dir /srv/site-new preview"},
		},
		Options: []option.Option{
			option.Files(option.String(&file, "output,o", "Write the changes to a tar, - for standard output")),
			option.Dirs(option.String(&dir, "dir", "Make a directory with the base and the changes")),
		},
		Run: func(ctx context.Context, c *Call) error {
			if (file == "") == (dir == "") {
				return usagef("give --output FILE or --dir DIR", "volume commit needs one place to write to")
			}
			return withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error {
				d, err := v.onTop(ctx, c.Args[0])
				if err != nil {
					return err
				}
				// What follows may take long, and does not need the database.
				if err := v.Close(); err != nil {
					return err
				}
				if dir != "" {
					return commitVolumeDir(ctx, c, d, dir)
				}
				return commitVolumeTar(ctx, c, d, file)
			})(ctx, c)
		},
	})
}

func commitVolumeDir(ctx context.Context, c *Call, d *ontop.Driver, dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := d.CommitDir(ctx, c.Args[0], path); err != nil {
		return err
	}
	return c.Show(Result{JSON: struct {
		Dir string `json:"dir"`
	}{path}})
}

func commitVolumeTar(ctx context.Context, c *Call, d *ontop.Driver, file string) error {
	if err := c.bulk(file); err != nil {
		return err
	}
	out, err := c.output(file)
	if err != nil {
		return err
	}
	defer out.abandon()
	out.durable = true
	w := &countedWriter{w: out}
	if err := d.CommitTar(ctx, c.Args[0], w, layerTar{}); err != nil {
		return err
	}
	if err := out.finish(); err != nil || file == "-" {
		return err
	}
	return c.Show(Result{JSON: written{File: file, Bytes: w.n}})
}

// countedWriter counts the bytes that pass.
type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func volumeDiscardVerb() *Verb {
	return volumeVerb(&Verb{
		Name: "volume discard", Summary: "Drop a volume's changes, so that it is its base again", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail:   "Nobody may use the volume meanwhile. For volumes of the driver ontop.",
		Examples: []Example{{"Start over", "strata volume discard preview"}},
		Run:      withVolumes(false, onTopOfOne(func(ctx context.Context, d *ontop.Driver, name string) error { return d.Discard(ctx, name) })),
	})
}

func volumeResetVerb() *Verb {
	return volumeVerb(&Verb{
		Name: "volume reset", Summary: "Unmount a volume and forget its users, whoever they are", Args: "NAME", Min: 1, Max: 1, Volumes: true,
		Detail: "For a volume of the driver ontop whose users ended without a word while nothing served it. What it holds\n" +
			"stays. A container that still runs keeps what it has mounted, cut off from everybody else.",
		Examples: []Example{{"Free a volume that nobody uses any more", "strata volume reset preview"}},
		Run: withVolumes(false, func(ctx context.Context, c *Call, v *volumes) error {
			return onTopOfOne(func(ctx context.Context, d *ontop.Driver, name string) error {
				return v.DropHolders(ctx, name, func(ctx context.Context) error { return d.Reset(ctx, name) })
			})(ctx, c, v)
		}),
	})
}

// onTopOfOne does something to the volume on top that is named.
func onTopOfOne(do func(ctx context.Context, d *ontop.Driver, name string) error) func(context.Context, *Call, *volumes) error {
	return func(ctx context.Context, c *Call, v *volumes) error {
		d, err := v.onTop(ctx, c.Args[0])
		if err != nil {
			return err
		}
		if err := do(ctx, d, c.Args[0]); err != nil {
			return err
		}
		return c.Text(volumeName{c.Args[0]})
	}
}

// volumeName is a volume in JSON of which there is nothing else to say.
type volumeName struct{ Name string }
