package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/cli/table"
)

// changeWords are the kinds of change as the old command prints them.
func changeWord(k archive.ChangeKind) string {
	switch k {
	case archive.Added:
		return "Add"
	case archive.Deleted:
		return "Delete"
	default:
		return "Modify"
	}
}

// change is one change in JSON, with the old command's keys.
type change struct {
	Path string
	Kind archive.ChangeKind
}

func changesVerb() *Verb {
	return &Verb{
		Name: "changes", Group: groupChanges, Summary: "List the paths that a layer adds, modifies and deletes",
		Args: "LAYER [BASE]", Min: 1, Max: 2, JSON: true,
		Detail: "BASE is the layer's parent unless another is named. A container's name stands for its layer.",
		Examples: []Example{
			{"See what a container changed", "strata changes web"},
			{"Compare with a layer further down", "strata changes LAYER BASE"},
		},
		Objects: []strata.Kind{strata.KindLayer, strata.KindContainer},
		Run:     onStore(changes),
	}
}

func changes(ctx context.Context, c *Call, store *strata.Store) error {
	arg, err := c.layer(ctx, store, c.Args[0])
	if err != nil {
		return err
	}
	list, err := store.Changes(ctx, arg, argument(c.Args, 1))
	if err != nil {
		return err
	}
	r := Result{
		Text: func(b *bytes.Buffer) {
			for _, ch := range list {
				fmt.Fprintf(b, "%s %q\n", changeWord(ch.Kind), ch.Path)
			}
		},
		Table: func() (*table.Table, error) {
			t := table.New("CHANGE", "PATH")
			for _, ch := range list {
				t.Row(changeWord(ch.Kind), ch.Path)
			}
			return t, nil
		},
	}
	var out []change
	for _, ch := range list {
		out = append(out, change(ch))
	}
	r.JSON = out
	r.Rich = func() (any, error) { return never(out), nil }
	return c.Show(r)
}

func diffSizeVerb() *Verb {
	return &Verb{
		Name: "diffsize", Aliases: []string{"diff-size"}, Group: groupChanges, Summary: "Count the bytes of files that a layer adds or modifies",
		Args: "LAYER [BASE]", Min: 1, Max: 2,
		Examples: []Example{{"See how much a container wrote", "strata diffsize web"}},
		Objects:  []strata.Kind{strata.KindLayer, strata.KindContainer},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			arg, err := c.layer(ctx, store, c.Args[0])
			if err != nil {
				return err
			}
			size, err := store.DiffSize(ctx, arg, argument(c.Args, 1))
			if err != nil {
				return err
			}
			return c.Show(Result{
				Text:  printLines([]string{fmt.Sprint(size)}),
				JSON:  size,
				Table: func() (*table.Table, error) { return table.New(table.Size(size)), nil },
			})
		}),
	}
}

// layer keeps the classic manner from taking a container's name for its layer,
// as the store does: the old command does not know it.
func (c *Call) layer(ctx context.Context, store *strata.Store, arg string) (string, error) {
	if !c.classic() {
		return arg, c.baseKnown(ctx, store)
	}
	l, err := store.Layer(ctx, arg)
	return string(l.ID), err
}

// baseKnown has an unknown second argument named as such.
func (c *Call) baseKnown(ctx context.Context, store *strata.Store) error {
	if len(c.Args) < 2 {
		return nil
	}
	if _, err := store.Find(ctx, c.Args[1], strata.KindLayer, strata.KindContainer); err != nil {
		return &strata.UnknownError{Kind: strata.KindLayer, Name: c.Args[1]}
	}
	return nil
}
