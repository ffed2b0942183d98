package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

func duVerb() *Verb {
	var summary bool
	return &Verb{
		Name: "du", Group: groupStore, Summary: "Show what takes the disk, and what removing it would free",
		Args: "[NAME...]", Max: unlimited, ModernOnly: true,
		Detail: "SHARED is what other images or containers need, too, UNIQUE is what nobody else needs, FREED what removing the\n" +
			"object now would give back: nothing for what is in use. All sizes are what the files take on the disk. The\n" +
			"totals are those of du -x on the graph root; unaccounted is what belongs to no record and gc may remove.\n" +
			"Sizes of layers that can not have changed are remembered, so that only others are walked.",
		Examples: []Example{
			{"See what takes the disk", "strata du"},
			{"See only the totals", "strata du --summary"},
			{"See what removing an image would free", "strata du debian:12"},
		},
		Options: []option.Option{option.Bool(&summary, "summary", "Show only the totals")},
		Objects: allKinds(),
		Run:     onStore(func(ctx context.Context, c *Call, store *strata.Store) error { return du(ctx, c, store, summary) }),
	}
}

func du(ctx context.Context, c *Call, store *strata.Store, summary bool) error {
	if summary && len(c.Args) > 0 {
		return usagef("leave the names out for the totals", "--summary and names exclude each other")
	}
	report, err := store.Usage(ctx)
	if err != nil {
		return err
	}
	objects := slices.Concat(report.Images, report.Containers, report.Layers)
	switch {
	case summary:
		objects = nil
	case len(c.Args) > 0:
		return c.Show(usageResult(chosenUsage(ctx, c, store, objects), nil))
	}
	return c.Show(usageResult(objects, report))
}

// chosenUsage are the objects that the arguments name, in their order.
func chosenUsage(ctx context.Context, c *Call, store *strata.Store, all []strata.ObjectUsage) (chosen []strata.ObjectUsage) {
	for _, arg := range c.Args {
		o, err := store.Find(ctx, c.object(ctx, store, arg), strata.KindContainer, strata.KindImage, strata.KindLayer)
		if err != nil {
			c.Fail(Failure{Arg: arg, Err: err})
			continue
		}
		i := slices.IndexFunc(all, func(u strata.ObjectUsage) bool { return u.Kind == o.Kind && u.ID == o.ID })
		if i >= 0 {
			chosen = append(chosen, all[i])
		}
	}
	return chosen
}

// usageJSON is the report of du in JSON; sizes are in bytes.
type usageJSON struct {
	Objects []objectUsageJSON `json:"objects"`
	Totals  *totalsJSON       `json:"totals,omitempty"`
	// Walked is how many layers' sizes were not known before.
	Walked *int `json:"walked-layers,omitempty"`
}

type objectUsageJSON struct {
	Kind     string   `json:"kind"`
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	ReadOnly bool     `json:"read-only,omitempty"`
	Own      int64    `json:"own"`
	Shared   int64    `json:"shared"`
	Unique   int64    `json:"unique"`
	Freed    int64    `json:"freed"`
}

type totalsJSON struct {
	Layers      int64 `json:"layers"`
	Images      int64 `json:"images"`
	Containers  int64 `json:"containers"`
	Records     int64 `json:"records"`
	Engines     int64 `json:"engines"`
	Unaccounted int64 `json:"unaccounted"`
	Total       int64 `json:"total"`
}

// totalLine is one part of the totals.
type totalLine struct {
	word, meaning string
	bytes         int64
}

func totalLines(t strata.UsageTotals) []totalLine {
	return []totalLine{
		{"layers", "layers' files", t.Layers},
		{"images", "images' data", t.Images},
		{"containers", "containers' data", t.Containers},
		{"records", "records, locks and what strata keeps", t.Records},
		{"engines", "other programs' files, volumes among them", t.Engines},
		{"unaccounted", "belongs to no record; see `strata gc --dry-run`", t.Unaccounted},
		{"total", "the same as du -x says", t.Total},
	}
}

// usageResult shows objects and, with a report, the totals. Lines for programs have
// the fields kind, ID, shared, unique and freed, or "total", part and bytes.
func usageResult(objects []strata.ObjectUsage, report *strata.UsageReport) Result {
	value := usageJSON{Objects: []objectUsageJSON{}}
	for _, o := range objects {
		value.Objects = append(value.Objects, objectUsageJSON{o.Kind.String(), o.ID, never(o.Names), o.ReadOnly, o.Own, o.Shared, o.Unique, o.Freed})
	}
	var totals []totalLine
	if report != nil {
		all := totalsJSON(report.Totals)
		value.Totals, value.Walked, totals = &all, &report.Walked, totalLines(report.Totals)
	}
	return Result{
		JSON: value,
		Text: func(b *bytes.Buffer) {
			for _, o := range objects {
				fmt.Fprintf(b, "%s\t%s\t%d\t%d\t%d\n", o.Kind, o.ID, o.Shared, o.Unique, o.Freed)
			}
			for _, line := range totals {
				fmt.Fprintf(b, "total\t%s\t%d\n", line.word, line.bytes)
			}
		},
		Table: func() (*table.Table, error) {
			if len(objects) == 0 && totals != nil {
				return totalsTable(totals), nil
			}
			return usageTable(objects), nil
		},
		Notes: totalNotes(objects, totals),
	}
}

func usageTable(objects []strata.ObjectUsage) *table.Table {
	t := table.New("KIND", "OBJECT", "SHARED", "UNIQUE", "FREED")
	for _, o := range objects {
		t.Row(o.Kind.String(), usageName(o), table.Size(o.Shared), table.Size(o.Unique), table.Size(o.Freed))
	}
	return t
}

func totalsTable(totals []totalLine) *table.Table {
	t := table.New("TOTAL", "SIZE", "WHAT")
	for _, line := range totals {
		t.Row(line.word, table.Size(line.bytes), line.meaning)
	}
	return t
}

// totalNotes puts the totals below the objects.
func totalNotes(objects []strata.ObjectUsage, totals []totalLine) []string {
	if len(objects) == 0 || totals == nil {
		return nil
	}
	var b strings.Builder
	_ = totalsTable(totals).Write(&b, 0) // into memory
	return append([]string{""}, strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")...)
}

// usageName is the first name of an object, or its ID.
func usageName(o strata.ObjectUsage) string {
	if len(o.Names) > 0 {
		return o.Names[0]
	}
	return table.ShortID(o.ID)
}
