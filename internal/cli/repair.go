package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/cli/table"
)

// repair cures what a check found and shows what became of each finding.
func repair(ctx context.Context, c *Call, store *strata.Store, report *strata.CheckReport, f *checkFlags) error {
	fixed, err := store.Repair(ctx, report, strata.RepairOptions{Remove: true, Containers: f.force, Discard: !f.trash})
	if err != nil {
		return err
	}
	if err := c.Show(repairResult(report, fixed)); err != nil {
		return err
	}
	var left []strata.Finding
	for _, l := range fixed.Left {
		left = append(left, l.Finding)
	}
	c.failFindings(left, repairHint(left, f.force))
	return nil
}

func repairHint(left []strata.Finding, force bool) string {
	for _, f := range left {
		if f.Kind == strata.KindContainer && !force {
			return "`strata check --repair --force` also removes damaged containers"
		}
	}
	return ""
}

// repairResult shows what became of the findings. Lines for programs are those of
// check with "cured" or the error, and a tab, in front; then one with "removed", kind,
// ID and names for each object that went.
func repairResult(report *strata.CheckReport, fixed *strata.RepairReport) Result {
	yes, no := true, false
	list := []findingJSON{}
	t := table.New("RESULT", "OBJECT", "SIZE", "REPAIR", "REASON")
	var text bytes.Buffer
	row := func(result string, f strata.Finding) {
		word, _, _ := strings.Cut(result, ":") // the whole error would push all else off the screen
		t.Row(word, findingObject(f), table.Size(f.Bytes), f.Repair.Word(), f.Reason+strings.TrimPrefix(result, word))
		fmt.Fprintf(&text, "%s\t%s\n", result, findingLine(f))
	}
	for _, f := range fixed.Cured {
		row("cured", f)
		one := newFindingJSON(f)
		one.Cured = &yes
		list = append(list, one)
	}
	for _, f := range fixed.Left {
		row("left: "+f.Err.Error(), f.Finding)
		one := newFindingJSON(f.Finding)
		one.Cured, one.Error = &no, f.Err.Error()
		list = append(list, one)
	}
	value := newCheckJSON(report, list)
	value.Trash, value.Removed = fixed.Trash, removedJSON(fixed.Removed)
	for _, o := range fixed.Removed {
		fmt.Fprintf(&text, "removed\t%s\t%s\t%s\n", o.Kind, o.ID, strings.Join(o.Names, " "))
	}
	out := Result{Text: func(b *bytes.Buffer) { b.Write(text.Bytes()) }, JSON: value, Notes: repairNotes(fixed)}
	switch {
	case t.Len() > 0:
		out.Table = func() (*table.Table, error) { return t, nil }
	default:
		out.Notes = checkResult(report).Notes
	}
	return out
}

// repairNotes sum up, and tell people what they do not have any more.
func repairNotes(fixed *strata.RepairReport) []string {
	notes := []string{fmt.Sprintf("%d cured, %d left", len(fixed.Cured), len(fixed.Left))}
	for _, o := range fixed.Removed {
		text := "Removed " + o.Kind.String() + " " + table.ShortID(o.ID)
		if len(o.Names) > 0 {
			text += " (" + strings.Join(o.Names, ", ") + ")"
		}
		notes = append(notes, text)
	}
	if fixed.Trash != "" {
		notes = append(notes, "What was removed is in "+fixed.Trash)
	}
	return notes
}

// removedObjectJSON is an object that a repair removed.
type removedObjectJSON struct {
	Kind  string   `json:"kind"`
	ID    string   `json:"id"`
	Names []string `json:"names,omitempty"`
}

func removedJSON(removed []strata.Object) []removedObjectJSON {
	var list []removedObjectJSON
	for _, o := range removed {
		list = append(list, removedObjectJSON{o.Kind.String(), o.ID, o.Names})
	}
	return list
}
