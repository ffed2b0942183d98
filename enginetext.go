package strata

import (
	"fmt"
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// EngineText is the finding in the words of the other engines' "check" verb
// (command-line reference, 5.11); "" for what that verb does not look for.
func (f Finding) EngineText() string {
	text := f.engineProblem()
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", f.Kind, f.ID, text)
}

func (f Finding) engineProblem() string {
	switch f.Problem {
	case ProblemNoRecord:
		return "layer in lower level storage driver not accounted for"
	case ProblemUnreferenced:
		return "layer not referenced by any images or containers"
	case ProblemContentDigest:
		if f.Path != "" {
			return fmt.Sprintf("file integrity checksum failed for %q", f.Path)
		}
		return "layer content incorrect digest"
	case ProblemContentSize:
		return "layer content incorrect size"
	case ProblemContentModified:
		return f.Change + "/" + f.Path + ", layer content modified"
	case ProblemSplitDamaged, ProblemContentMissing, ProblemUnreadable:
		return f.Reason
	case ProblemParentMissing:
		// Shown for the child, about the parent.
		return ""
	case ProblemLayerMissing:
		return fmt.Sprintf("layer %s: %s layer is missing", f.Layer, f.Kind)
	case ProblemImageMissing:
		return ""
	}
	return f.engineItem()
}

func (f Finding) engineItem() string {
	switch f.Problem {
	case ProblemDataMissing:
		return fmt.Sprintf("data item %q: %s data item is missing", f.Item, f.Kind)
	case ProblemDataSize:
		return fmt.Sprintf("data item %q: %s data item has incorrect size", f.Item, f.Kind)
	case ProblemDataDigest:
		return fmt.Sprintf("data item %q: %s data item has incorrect digest", f.Item, f.Kind)
	}
	return ""
}

// engineLine is EngineText, and the two findings that the engines word as about
// the missing object.
func (f Finding) engineLine() string {
	switch f.Problem {
	case ProblemParentMissing:
		return fmt.Sprintf("layer %s: layer is missing", f.Layer)
	case ProblemImageMissing:
		return fmt.Sprintf("image %s: image missing", f.Image)
	}
	return f.EngineText()
}

// EngineGroup is all that the engines' "check" verb prints about one object.
type EngineGroup struct {
	Kind     Kind
	ID       string
	ReadOnly bool
	// Problems are the lines, without the blank before them.
	Problems []string
}

// Heading is the line above the problems: "read-only layer ID:".
func (g EngineGroup) Heading() string {
	if g.ReadOnly {
		return fmt.Sprintf("read-only %s %s:", g.Kind, g.ID)
	}
	return fmt.Sprintf("%s %s:", g.Kind, g.ID)
}

// EngineGroups are the findings as the engines' "check" verb shows them
// (command-line reference, 5.11): layers, read-only layers, images, read-only
// images, containers. An image repeats the problems of its layers, a container
// those of its layer and image. Findings that the verb does not know are left out.
func (r *CheckReport) EngineGroups() []EngineGroup {
	g := newEngineGrouper(r)
	var groups []EngineGroup
	for _, readOnly := range []bool{false, true} {
		groups = append(groups, g.layerGroups(readOnly)...)
	}
	for _, readOnly := range []bool{false, true} {
		groups = append(groups, g.imageGroups(readOnly)...)
	}
	return append(groups, g.containerGroups()...)
}

// objectKey names an object.
type objectKey struct {
	kind Kind
	id   string
}

// engineGrouper knows what each object has of its own, and what stands on what.
type engineGrouper struct {
	report *CheckReport
	own    map[objectKey][]string
	layers map[layer.ID]layer.Layer
	images map[image.ID]image.Image
}

func newEngineGrouper(r *CheckReport) *engineGrouper {
	g := &engineGrouper{
		report: r, own: map[objectKey][]string{},
		layers: map[layer.ID]layer.Layer{}, images: map[image.ID]image.Image{},
	}
	for _, f := range r.Findings {
		if line := f.engineLine(); line != "" {
			key := objectKey{f.Kind, f.ID}
			g.own[key] = append(g.own[key], line)
		}
	}
	for _, l := range slices.Backward(r.snap.Layers) {
		g.layers[l.ID] = l
	}
	for _, i := range slices.Backward(r.snap.Images) {
		g.images[i.ID] = i
	}
	return g
}

func (g *engineGrouper) layerGroups(readOnly bool) (groups []EngineGroup) {
	for _, l := range g.report.snap.Layers {
		if l.ReadOnly == readOnly {
			groups = g.add(groups, EngineGroup{KindLayer, string(l.ID), readOnly, g.own[objectKey{KindLayer, string(l.ID)}]})
		}
	}
	if readOnly {
		return groups
	}
	for _, f := range g.report.Findings {
		if f.Problem == ProblemNoRecord {
			groups = g.add(groups, EngineGroup{KindLayer, f.ID, false, []string{f.engineLine()}})
		}
	}
	return groups
}

func (g *engineGrouper) imageGroups(readOnly bool) (groups []EngineGroup) {
	for _, i := range g.report.snap.Images {
		if i.ReadOnly == readOnly {
			groups = g.add(groups, EngineGroup{KindImage, string(i.ID), readOnly, g.imageLines(i)})
		}
	}
	return groups
}

func (g *engineGrouper) imageLines(i image.Image) []string {
	lines := slices.Clone(g.own[objectKey{KindImage, string(i.ID)}])
	for _, top := range i.TopLayers() {
		for _, line := range g.stackLines(top) {
			if line = fmt.Sprintf("image %s: %s", i.ID, line); !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// stackLines are the problems of a layer and those below it.
func (g *engineGrouper) stackLines(id layer.ID) (lines []string) {
	for seen := map[layer.ID]bool{}; id != "" && !seen[id]; id = g.layers[id].Parent {
		seen[id] = true
		lines = append(lines, g.own[objectKey{KindLayer, string(id)}]...)
	}
	return lines
}

func (g *engineGrouper) containerGroups() (groups []EngineGroup) {
	for _, c := range g.report.snap.Containers {
		groups = g.add(groups, EngineGroup{KindContainer, string(c.ID), false, g.containerLines(c)})
	}
	return groups
}

func (g *engineGrouper) containerLines(c container.Container) []string {
	lines := slices.Clone(g.own[objectKey{KindContainer, string(c.ID)}])
	inherited := g.stackLines(c.Layer)
	if i, ok := g.images[c.Image]; ok {
		inherited = append(inherited, g.imageLines(i)...)
	}
	for _, line := range inherited {
		if line = fmt.Sprintf("container %s: %s", c.ID, line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// add leaves out objects without problems.
func (g *engineGrouper) add(groups []EngineGroup, one EngineGroup) []EngineGroup {
	if len(one.Problems) == 0 {
		return groups
	}
	return append(groups, one)
}
