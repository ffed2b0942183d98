package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stratastore/strata"
)

// oldCheck is check in the old command's manner (command-line reference, 5.11). That
// command deletes for good, and ends with a forced shutdown.
func oldCheck(ctx context.Context, c *Call, f *checkFlags) error {
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	defer oldShutdown(ctx, c, store)
	age, err := time.ParseDuration(f.max)
	if err != nil {
		return err
	}
	report, err := store.Check(ctx, f.options(age))
	if err != nil {
		return err
	}
	o := newOldReport(report)
	if err := c.Show(Result{Text: o.write, JSON: o.json()}); err != nil {
		return err
	}
	if f.repair {
		return oldRepair(ctx, c, store, report, o, f.force)
	}
	if len(report.EngineGroups()) == 0 {
		return o.unreadable(report)
	}
	return fmt.Errorf("%d layer errors, %d read-only layer errors, %d image errors, %d read-only image errors, %d container errors",
		len(o.layers), len(o.roLayers), len(o.images), len(o.roImages), len(o.containers))
}

// oldShutdown lets go of the store, and says so when that unmounted layers.
func oldShutdown(ctx context.Context, c *Call, store *strata.Store) {
	if _, err := store.Shutdown(context.WithoutCancel(ctx), strata.ShutdownOptions{Force: true}); err != nil {
		_, _ = fmt.Fprintf(c.env.Stderr, "shutdown: %s\n", classicText(err))
	}
}

// oldReport is a report in the parts of the old command's. The other command has
// nothing to say about leftovers and the like.
type oldReport struct {
	layers, roLayers, images, roImages, containers []strata.EngineGroup
}

func newOldReport(report *strata.CheckReport) *oldReport {
	o := &oldReport{}
	for _, g := range report.EngineGroups() {
		to := map[strata.Kind]*[]strata.EngineGroup{
			strata.KindLayer: &o.layers, strata.KindImage: &o.images, strata.KindContainer: &o.containers,
		}
		if g.ReadOnly {
			to[strata.KindLayer], to[strata.KindImage] = &o.roLayers, &o.roImages
		}
		*to[g.Kind] = append(*to[g.Kind], g)
	}
	return o
}

func (o *oldReport) write(b *bytes.Buffer) {
	for _, part := range [][]strata.EngineGroup{o.layers, o.roLayers, o.images, o.roImages, o.containers} {
		for _, g := range part {
			fmt.Fprintln(b, g.Heading())
			for _, problem := range g.Problems {
				fmt.Fprintf(b, " %s\n", problem)
			}
		}
	}
}

// oldProblem is a problem in JSON. The old command leaves the text out.
type oldProblem struct {
	Error string `json:"error"`
}

// oldReportJSON has the keys of the old command.
type oldReportJSON struct {
	Layers     map[string][]oldProblem
	ROLayers   map[string][]oldProblem
	Images     map[string][]oldProblem
	ROImages   map[string][]oldProblem
	Containers map[string][]oldProblem
}

func (o *oldReport) json() oldReportJSON {
	part := func(groups []strata.EngineGroup) map[string][]oldProblem {
		out := map[string][]oldProblem{}
		for _, g := range groups {
			for _, problem := range g.Problems {
				out[g.ID] = append(out[g.ID], oldProblem{problem})
			}
		}
		return out
	}
	return oldReportJSON{part(o.layers), part(o.roLayers), part(o.images), part(o.roImages), part(o.containers)}
}

// unreadable is the error for records that can not be read, with which the old
// command does not get as far as a report.
func (o *oldReport) unreadable(report *strata.CheckReport) error {
	for _, f := range report.Findings {
		if f.Problem == strata.ProblemRecordsDamaged {
			return errors.New(f.String())
		}
	}
	return nil
}

// oldRepair repairs, and says what is left in the old command's words.
func oldRepair(ctx context.Context, c *Call, store *strata.Store, report *strata.CheckReport, o *oldReport, force bool) error {
	fixed, err := store.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: force, Discard: true})
	if err != nil {
		return err
	}
	if failed := oldFailures(fixed, force); len(failed) > 0 {
		if !c.JSON {
			_, _ = fmt.Fprintln(c.env.Stderr, strings.Join(failed, "\n"))
		}
		return errors.New(failed[0])
	}
	left := fmt.Sprintf("%d read-only layer errors, %d read-only image errors", len(o.roLayers), len(o.roImages))
	if !force {
		left += fmt.Sprintf(", %d container errors", len(o.containers))
	}
	if len(o.roLayers)+len(o.roImages) > 0 || (!force && len(o.containers) > 0) {
		return errors.New(left)
	}
	return o.unreadable(report)
}

// oldFailures are the lines about what could not be removed, each once. What is not
// removed by intent is no failure, nor is what the old command does not look for.
func oldFailures(fixed *strata.RepairReport, force bool) (lines []string) {
	seen := map[string]bool{}
	for _, f := range fixed.Left {
		if f.ReadOnly || f.EngineText() == "" || (f.Kind == strata.KindContainer && !force) {
			continue
		}
		if line := classicText(f.Err); !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return lines
}
