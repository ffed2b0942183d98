package cli

import (
	"bytes"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/cli/table"
)

// findingJSON is a finding in JSON.
type findingJSON struct {
	Kind     string `json:"kind"`
	ID       string `json:"id,omitempty"`
	ReadOnly bool   `json:"read-only,omitempty"`
	// Problem is a word that does not change, Reason a sentence.
	Problem string `json:"problem"`
	Reason  string `json:"reason"`
	Layer   string `json:"layer,omitempty"`
	Image   string `json:"image,omitempty"`
	Name    string `json:"name,omitempty"`
	Item    string `json:"item,omitempty"`
	Path    string `json:"path,omitempty"`
	Change  string `json:"change,omitempty"`
	Want    string `json:"want,omitempty"`
	Got     string `json:"got,omitempty"`
	Bytes   int64  `json:"bytes"`
	// Repair is a word that does not change.
	Repair string `json:"repair"`
	// Cured and Error say what became of it (check --repair).
	Cured *bool  `json:"cured,omitempty"`
	Error string `json:"error,omitempty"`
}

func newFindingJSON(f strata.Finding) findingJSON {
	return findingJSON{
		Kind: f.Kind.String(), ID: f.ID, ReadOnly: f.ReadOnly, Problem: f.Problem.String(), Reason: f.Reason,
		Layer: string(f.Layer), Image: f.Image, Name: f.Name, Item: f.Item, Path: f.Path, Change: f.Change, Want: f.Want, Got: f.Got,
		Bytes: f.Bytes, Repair: f.Repair.Word(),
	}
}

func findingsJSON(findings []strata.Finding) []findingJSON {
	list := []findingJSON{}
	for _, f := range findings {
		list = append(list, newFindingJSON(f))
	}
	return list
}

// checkJSON is the report of check in JSON.
type checkJSON struct {
	Findings   []findingJSON `json:"findings"`
	Layers     int           `json:"layers"`
	Images     int           `json:"images"`
	Containers int           `json:"containers"`
	Bytes      int64         `json:"bytes-read"`
	// Removed are the objects that a repair removed, Trash is the folder that has them.
	Removed []removedObjectJSON `json:"removed,omitempty"`
	Trash   string              `json:"trash,omitempty"`
}

func newCheckJSON(r *strata.CheckReport, findings []findingJSON) checkJSON {
	return checkJSON{Findings: findings, Layers: r.Layers, Images: r.Images, Containers: r.Containers, Bytes: r.Bytes}
}

// checkResult shows what was found. Lines for programs have the fields kind, ID or
// path, problem, bytes, repair and reason, with tabs between.
func checkResult(r *strata.CheckReport) Result {
	out := findingsResult(r.Findings)
	out.JSON = newCheckJSON(r, findingsJSON(r.Findings))
	out.Notes = []string{fmt.Sprintf("%s: examined %s, %s and %s, read %s", findingsWord(r.Findings),
		count(r.Layers, "layer"), count(r.Images, "image"), count(r.Containers, "container"), table.Size(r.Bytes))}
	return out
}

func findingsResult(findings []strata.Finding) Result {
	var out Result
	out.Text = func(b *bytes.Buffer) {
		for _, f := range findings {
			fmt.Fprintln(b, findingLine(f))
		}
	}
	if len(findings) > 0 {
		out.Table = func() (*table.Table, error) { return findingsTable(findings), nil }
	}
	return out
}

func findingLine(f strata.Finding) string {
	return fmt.Sprintf("%s\t%s\t%s\t%d\t%s\t%s", f.Kind, findingID(f), f.Problem, f.Bytes, f.Repair.Word(), f.Reason)
}

func findingID(f strata.Finding) string {
	if f.ID == "" {
		return f.Path
	}
	return f.ID
}

func findingsTable(findings []strata.Finding) *table.Table {
	t := table.New("OBJECT", "SIZE", "REPAIR", "REASON")
	for _, f := range findings {
		t.Row(findingObject(f), table.Size(f.Bytes), f.Repair.Word(), f.Reason)
	}
	return t
}

// findingObject names the object in a table.
func findingObject(f strata.Finding) string {
	text := f.Kind.String() + " " + table.ShortID(f.ID)
	if f.ID == "" {
		text = f.Path
	}
	if f.ReadOnly {
		text = "read-only " + text
	}
	return text
}

// count writes "1 layer", "2 layers".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func findingsWord(findings []strata.Finding) string {
	if len(findings) == 0 {
		return "Nothing wrong"
	}
	return count(len(findings), "finding")
}

// failFindings sets the exit code for what was found and says how much it is.
func (c *Call) failFindings(findings []strata.Finding, hint string) {
	damage := 0
	for _, f := range findings {
		if f.Problem.IsDamage() {
			damage++
		}
	}
	switch {
	case damage > 0:
		c.Fail(Failure{Err: errdefs.WithHint(&damageError{damage, len(findings) - damage}, hint)})
	case len(findings) > 0:
		c.Fail(Failure{Err: errdefs.WithHint(fmt.Errorf("%s, and no damage", count(len(findings), "leftover")), hint)})
	}
}

// damageError says how much of the store is damaged.
type damageError struct{ damage, other int }

func (e *damageError) Error() string {
	text := fmt.Sprintf("the store is damaged: %s", count(e.damage, "finding"))
	if e.other > 0 {
		text += ", and " + count(e.other, "leftover")
	}
	return text
}

func (e *damageError) Unwrap() error { return errdefs.ErrCorrupt }
