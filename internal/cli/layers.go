package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/layer"
)

func layersVerb() *Verb {
	var tree, quick bool
	return &Verb{
		Name: "layers", Group: groupLayers, Summary: "List the layers and what uses them", JSON: true,
		Examples: []Example{
			{"Show which layer stands on which", "strata layers --tree"},
			{"Print only the IDs", "strata layers --quick"},
		},
		Options: []option.Option{
			option.Bool(&tree, "tree,t", "Show parents and children as a tree"),
			option.Bool(&quick, "quick,q", "Print only the IDs"),
		},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			snap, err := store.Snapshot(ctx)
			if err != nil {
				return err
			}
			return c.Show(layerList(c, snap, tree, quick))
		}),
	}
}

func layerList(c *Call, snap *strata.Snapshot, tree, quick bool) Result {
	r := Result{
		JSON: records(snap.Layers, layerRecord),
		Rich: func() (any, error) { return richList(snap.Layers, richLayer) },
	}
	switch {
	case tree:
		r.Text = func(b *bytes.Buffer) { writeTree(b, newIndex(snap)) }
	case quick:
		r.Text = func(b *bytes.Buffer) {
			for _, l := range snap.Layers {
				fmt.Fprintln(b, l.ID)
			}
		}
	default:
		r.Text = func(b *bytes.Buffer) { writeLayers(b, newIndex(snap)) }
		r.Table = func() (*table.Table, error) { return layerTable(c, newIndex(snap)), nil }
	}
	return r
}

func writeLayers(b *bytes.Buffer, idx *index) {
	for _, l := range idx.snap.Layers {
		fmt.Fprintln(b, l.ID)
		for _, name := range l.Names {
			fmt.Fprintf(b, "\tname: %s\n", name)
		}
		for _, i := range idx.images[l.ID] {
			fmt.Fprintf(b, "\timage: %s\n", i.ID)
			for _, name := range i.Names {
				fmt.Fprintf(b, "\t\tname: %s\n", name)
			}
		}
		for _, c := range idx.containers[l.ID] {
			fmt.Fprintf(b, "\tcontainer: %s\n", c.ID)
			for _, name := range c.Names {
				fmt.Fprintf(b, "\t\tname: %s\n", name)
			}
		}
	}
}

func layerTable(c *Call, idx *index) *table.Table {
	t := table.New("ID", "PARENT", "SIZE", "CREATED", "USED BY")
	for _, l := range idx.snap.Layers {
		size := "-"
		if n, ok := layerSize(l); ok {
			size = table.Size(n)
		}
		t.Row(table.ShortID(string(l.ID)), orDash(table.ShortID(string(l.Parent))), size, table.Age(l.Created, c.Now), idx.users(l.ID, l.Names))
	}
	return t
}

// users sums up the names of a layer and what it is the top of.
func (idx *index) users(id layer.ID, names []string) string {
	var words []string
	for _, name := range names {
		words = append(words, "name "+name)
	}
	for _, i := range idx.images[id] {
		words = append(words, "image "+idx.imageName(i.ID))
	}
	for _, c := range idx.containers[id] {
		name := table.ShortID(string(c.ID))
		if len(c.Names) > 0 {
			name = c.Names[0]
		}
		words = append(words, "container "+name)
	}
	return orDash(strings.Join(words, ", "))
}
