package cli

import (
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/table"
)

func verifyVerb() *Verb {
	return &Verb{
		Name: "verify", Group: groupStore, Summary: "Read everything again and compare it with the recorded digests",
		Args: "[NAME...]", Max: unlimited, ModernOnly: true,
		Detail: "A layer is read as the tar that it came as; an image stands for its layers and data items, a container for its\n" +
			"layer, its image and its data items. Without names everything is read, by as many readers as there are\n" +
			"processors. Nothing is changed. Containers' own layers have no digest to compare with; `strata check` also\n" +
			"looks for files that do not belong to a layer.",
		Examples: []Example{
			{"Verify the whole store", "strata verify"},
			{"Verify one image with all its layers", "strata verify debian:12"},
		},
		Objects: allKinds(),
		Run:     onStore(verify),
	}
}

func verify(ctx context.Context, c *Call, store *strata.Store) error {
	var names []string
	for _, arg := range c.Args {
		names = append(names, c.object(ctx, store, arg))
	}
	progress, done := c.reading(ctx, "Verifying")
	report, err := store.Verify(ctx, strata.VerifyOptions{Objects: names, Progress: progress})
	done()
	if err != nil {
		return err
	}
	if err := c.Show(verifyResult(report)); err != nil {
		return err
	}
	c.failFindings(report.Findings, "load the image again, which replaces damaged layers; `strata check --repair` does what else can be done")
	return nil
}

// verifyJSON is the report of verify in JSON.
type verifyJSON struct {
	Findings []findingJSON `json:"findings"`
	Layers   int           `json:"layers"`
	Items    int           `json:"items"`
	Bytes    int64         `json:"bytes-read"`
	// Unverified are layers that have no digest to compare with.
	Unverified []string `json:"unverified"`
}

// verifyResult shows what differs; lines for programs are those of check.
func verifyResult(r *strata.VerifyReport) Result {
	value := verifyJSON{Findings: findingsJSON(r.Findings), Layers: r.Layers, Items: r.Items, Bytes: r.Bytes, Unverified: []string{}}
	for _, id := range r.Unverified {
		value.Unverified = append(value.Unverified, string(id))
	}
	out := findingsResult(r.Findings)
	out.JSON = value
	out.Notes = []string{fmt.Sprintf("%s: read %s and %s, %s", findingsWord(r.Findings),
		count(r.Layers, "layer"), count(r.Items, "data item"), table.Size(r.Bytes))}
	if n := len(r.Unverified); n > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("Not compared: %s without a recorded digest", count(n, "layer")))
	}
	return out
}
