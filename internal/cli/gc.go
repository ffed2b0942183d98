package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/option"
	"github.com/stratastore/strata/internal/cli/table"
)

func gcVerb() *Verb {
	var dryRun bool
	older := "0"
	return &Verb{
		Name: "gc", Group: groupStore, Summary: "Remove what no record accounts for", JSON: true,
		Detail: "Files and directories that interrupted programs left in the directories of layers, images and containers.\n" +
			"Recorded objects, used or not, stay, except registered layers that nothing holds, and layers of a load, import\n" +
			"or commit that ended before there was an image. What is mounted stays. It goes on after a failure. Each\n" +
			"leftover is shown with its bytes and the reason why nothing needs it.",
		Examples: []Example{
			{"See what would be removed", "strata gc --dry-run"},
			{"Remove leftovers of more than a week ago", "strata gc --older-than 7d"},
		},
		Further: []option.Option{
			option.Bool(&dryRun, "dry-run,n", "Remove nothing, only list what would be removed"),
			option.As("AGE", option.String(&older, "older-than", "Leave what was changed within this time, like 24h or 7d")),
		},
		Run: func(ctx context.Context, c *Call) error {
			age, err := parseAge("--older-than", older)
			if err != nil {
				return err
			}
			return gc(ctx, c, strata.GCOptions{DryRun: dryRun, OlderThan: age})
		},
	}
}

func gc(ctx context.Context, c *Call, opts strata.GCOptions) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	if c.classic() {
		defer oldShutdown(ctx, c, store)
	}
	report, err := store.GC(ctx, opts)
	if err != nil {
		return err
	}
	if err := c.Show(gcResult(c, report, opts.DryRun)); err != nil {
		return err
	}
	for _, f := range report.Failed {
		c.Fail(Failure{Arg: f.Path, Err: f.Err, Line: f.Path + ": " + classicText(f.Err)})
	}
	return nil
}

// orphanJSON is a leftover in JSON.
type orphanJSON struct {
	Kind   string `json:"kind"`
	ID     string `json:"id,omitempty"`
	Path   string `json:"path"`
	Reason string `json:"reason"`
	Bytes  int64  `json:"bytes"`
	Error  string `json:"error,omitempty"`
}

func newOrphanJSON(o strata.Orphan) orphanJSON {
	return orphanJSON{Kind: o.Kind.String(), ID: o.ID, Path: o.Path, Reason: o.Reason, Bytes: o.Bytes}
}

// gcJSON is the report of gc in JSON.
type gcJSON struct {
	Removed []orphanJSON `json:"removed"`
	Failed  []orphanJSON `json:"failed"`
	Bytes   int64        `json:"bytes"`
	DryRun  bool         `json:"dry-run"`
}

// gcResult shows what was removed. The old command says nothing. Lines for programs
// have the fields kind, bytes, path and reason, with tabs between.
func gcResult(c *Call, r *strata.GCReport, dryRun bool) Result {
	if c.classic() {
		return Result{JSON: ""}
	}
	value := gcJSON{Removed: []orphanJSON{}, Failed: []orphanJSON{}, Bytes: r.Bytes, DryRun: dryRun}
	for _, o := range r.Removed {
		value.Removed = append(value.Removed, newOrphanJSON(o))
	}
	for _, f := range r.Failed {
		one := newOrphanJSON(f.Orphan)
		one.Error = f.Err.Error()
		value.Failed = append(value.Failed, one)
	}
	out := Result{
		JSON: value,
		Text: func(b *bytes.Buffer) {
			for _, o := range r.Removed {
				fmt.Fprintf(b, "%s\t%d\t%s\t%s\n", o.Kind, o.Bytes, o.Path, o.Reason)
			}
		},
		Notes: []string{gcNote(r, dryRun)},
	}
	if len(r.Removed) > 0 {
		out.Table = func() (*table.Table, error) { return orphanTable(r.Removed), nil }
	}
	return out
}

func gcNote(r *strata.GCReport, dryRun bool) string {
	switch {
	case len(r.Removed) == 0 && len(r.Failed) == 0:
		return "No leftovers"
	case dryRun:
		return fmt.Sprintf("Would remove %s, %s", count(len(r.Removed), "leftover"), table.Size(r.Bytes))
	}
	return fmt.Sprintf("Removed %s, %s", count(len(r.Removed), "leftover"), table.Size(r.Bytes))
}

func orphanTable(orphans []strata.Orphan) *table.Table {
	t := table.New("KIND", "SIZE", "REASON", "PATH")
	for _, o := range orphans {
		t.Row(o.Kind.String(), table.Size(o.Bytes), o.Reason, o.Path)
	}
	return t
}
