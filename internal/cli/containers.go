package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/internal/cli/table"
)

func containersVerb() *Verb {
	return &Verb{
		Name: "containers", Group: groupContainers, Summary: "List the containers", JSON: true,
		Examples: []Example{
			{"List the containers", "strata containers"},
			{"Print names and images with jq", "strata containers --json | jq -r '.[] | [.names[0], .image] | @tsv'"},
		},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			list, err := store.Containers(ctx)
			if err != nil {
				return err
			}
			return c.Show(containerList(ctx, c, store, list))
		}),
	}
}

// containerList shows containers. What else is known of them is only looked up
// where it is shown.
func containerList(ctx context.Context, c *Call, store *strata.Store, list []container.Container) Result {
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, ctr := range list {
				containerNotes(b, ctr)
			}
		},
		JSON: never(records(list, containerRecord)), // unlike the other lists, this one is never null
		Rich: func() (any, error) {
			idx, err := takeIndex(ctx, store)
			if err != nil {
				return nil, err
			}
			return richList(list, func(ctr container.Container) (json.RawMessage, error) { return richContainer(ctr, idx) })
		},
		Table: func() (*table.Table, error) {
			idx, err := takeIndex(ctx, store)
			if err != nil {
				return nil, err
			}
			return containerTable(c, idx, list), nil
		},
	}
}

func containerNotes(b *bytes.Buffer, ctr container.Container) {
	fmt.Fprintln(b, ctr.ID)
	for _, name := range ctr.Names {
		fmt.Fprintf(b, "\tname: %s\n", name)
	}
	for _, item := range ctr.BigDataNames {
		fmt.Fprintf(b, "\tdata: %s\n", item)
	}
}

func containerTable(c *Call, idx *index, list []container.Container) *table.Table {
	t := table.New("NAME", "ID", "IMAGE", "CREATED", "MOUNTED")
	for _, ctr := range list {
		t.Row(orNone(ctr.Names)[0], table.ShortID(string(ctr.ID)), idx.imageName(ctr.Image),
			table.Age(ctr.Created, c.Now), orDash(idx.layers[ctr.Layer].MountPath))
	}
	return t
}
