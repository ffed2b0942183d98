package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

// mountPoint is the outcome of mounting one argument.
type mountPoint struct {
	ID    string `json:"id"`
	Path  string `json:"mountpoint"`
	Error string `json:"error"`
}

// mountState is the outcome of unmounting or asking about one argument.
type mountState struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

func mountVerb() *Verb {
	var opts, label string
	var readOnly bool
	return &Verb{
		Name: "mount", Group: groupMounts, Summary: "Mount containers or layers and print where", Args: "NAME...",
		Min: 1, Max: unlimited, JSON: true,
		Detail: "A mount is counted: what is mounted twice has to be unmounted twice. It outlives this command.\n" +
			"With --read-only the arguments are images.",
		Examples: []Example{
			{"Look into a container", "ls $(strata mount web)"},
			{"Look into an image without making a container", "ls $(strata mount --read-only debian)"},
		},
		Options: []option.Option{
			option.As("OPTIONS", option.String(&opts, "opt,o", "Mount options, separated by commas (the old command ignores them)")),
			option.As("LABEL", option.String(&label, "label,l", "SELinux label")),
			option.Bool(&readOnly, "read-only,ro,r", "Mount images, read-only"),
		},
		Objects: []strata.Kind{strata.KindContainer, strata.KindLayer, strata.KindImage},
		Run: func(ctx context.Context, c *Call) error {
			mo := strata.MountOptions{Label: label, ReadOnly: readOnly}
			if opts != "" && !c.classic() {
				mo.Options = strings.Split(opts, ",")
			}
			return mount(ctx, c, mo)
		},
	}
}

func mount(ctx context.Context, c *Call, opts strata.MountOptions) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	do := store.Mount
	if opts.ReadOnly {
		do = store.MountImage
	}
	var points []mountPoint
	for _, arg := range c.Args {
		name := arg
		if opts.ReadOnly {
			name = c.image(ctx, store, arg)
		}
		path, err := do(ctx, name, opts)
		p := mountPoint{ID: arg, Path: path}
		if err != nil {
			p = mountPoint{ID: arg, Error: classicText(err)}
			c.Fail(Failure{Arg: arg, Err: err, Line: p.Error + " while mounting " + arg})
		}
		points = append(points, p)
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) {
			for _, p := range points {
				if p.Error == "" || c.classic() {
					fmt.Fprintln(b, p.Path)
				}
			}
		},
		JSON: points,
	})
}

func unmountVerb() *Verb {
	var force bool
	return &Verb{
		Name: "unmount", Aliases: []string{"umount"}, Group: groupMounts, Summary: "Undo one mount of containers, layers or images",
		Args: "NAME...", Min: 1, Max: unlimited, JSON: true,
		Detail: "Prints a line when the last mount is undone, and nothing while others hold it mounted.",
		Examples: []Example{
			{"Unmount a container", "strata unmount web"},
			{"Unmount it whoever else holds it mounted", "strata unmount --force web"},
		},
		Options: []option.Option{option.Bool(&force, "force,f", "Unmount whatever the count of mounts is")},
		Objects: []strata.Kind{strata.KindContainer, strata.KindLayer, strata.KindImage},
		Run:     onStore(func(ctx context.Context, c *Call, store *strata.Store) error { return unmount(ctx, c, store, force) }),
	}
}

func unmount(ctx context.Context, c *Call, store *strata.Store, force bool) error {
	var gone []string
	var states []mountState
	for _, arg := range c.Args {
		r, err := store.Unmount(ctx, c.object(ctx, store, arg), strata.UnmountOptions{Force: force})
		s := mountState{ID: arg}
		switch {
		case err != nil:
			s.Error = classicText(err)
			c.Fail(Failure{Arg: arg, Err: err, Line: s.Error + " while unmounting " + arg})
		case !r.Mounted && r.Kind != strata.KindImage:
			gone = append(gone, arg+" mountpoint unmounted")
		}
		states = append(states, s)
	}
	return c.Show(Result{Text: printLines(gone), JSON: states, Always: true})
}

func mountedVerb() *Verb {
	return &Verb{
		Name: "mounted", Group: groupMounts, Summary: "Tell which containers or layers are mounted", Args: "NAME...",
		Min: 1, Max: unlimited, JSON: true,
		Examples: []Example{
			{"Ask about a container", "strata mounted web"},
			{"Let a script ask", `test -n "$(strata mounted web)"`},
		},
		Objects: []strata.Kind{strata.KindContainer, strata.KindLayer},
		Run:     onStore(mounted),
	}
}

func mounted(ctx context.Context, c *Call, store *strata.Store) error {
	t := table.New("NAME", "MOUNTS")
	var lines []string
	var states []mountState
	var rich []any
	for _, arg := range c.Args {
		count, err := store.Mounted(ctx, arg)
		s := mountState{ID: arg}
		if err != nil {
			s.Error = classicText(err)
			c.Fail(Failure{Arg: arg, Err: err, Line: s.Error + " checking if " + arg + " is mounted"})
		} else {
			t.Row(arg, fmt.Sprint(count))
		}
		if count > 0 {
			lines = append(lines, arg+" mounted")
		}
		states = append(states, s)
		rich = append(rich, mountCount{arg, count, s.Error})
	}
	return c.Show(Result{
		Text: printLines(lines), JSON: states, Always: true,
		Rich:  func() (any, error) { return rich, nil },
		Table: func() (*table.Table, error) { return t, nil },
	})
}

// mountCount is the modern manner's answer about one argument.
type mountCount struct {
	ID    string `json:"id"`
	Count int    `json:"mount-count"`
	Error string `json:"error,omitempty"`
}
