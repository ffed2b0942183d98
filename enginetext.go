package strata

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// EngineText is the finding in the words of the other engines' "check" verb
// (command-line reference, 5.11); "" for what that verb does not look for.
func (f Finding) EngineText() string {
	switch f.Problem {
	case ProblemParentMissing:
		return fmt.Sprintf("layer %s: layer is missing", f.Layer) // shown for the child
	case ProblemImageMissing:
		return fmt.Sprintf("image %s: image missing", f.Image)
	}
	text := f.engineProblem()
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", engineKind(f.Kind, f.ReadOnly), f.ID, text)
}

func engineKind(k Kind, readOnly bool) string {
	if readOnly {
		return "read-only " + k.String()
	}
	return k.String()
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
		return strings.TrimPrefix(f.Change, "~") + "/" + f.Path + ", layer content modified"
	case ProblemSplitDamaged, ProblemContentMissing, ProblemUnreadable:
		return f.Reason
	case ProblemLayerMissing:
		return fmt.Sprintf("layer %s: %s layer is missing", f.Layer, f.Kind)
	case ProblemDataMissing:
		return fmt.Sprintf("data item %q: %s data item is missing", f.Item, f.Kind)
	case ProblemDataSize:
		return fmt.Sprintf("data item %q: %s data item has incorrect size", f.Item, f.Kind)
	}
	return ""
}

// engineRank orders the lines about one object as that verb finds them: data items,
// content, what is below, and whether anybody needs it.
func (f Finding) engineRank() int {
	switch f.Problem {
	case ProblemDataMissing, ProblemDataSize:
		return 0
	case ProblemParentMissing, ProblemImageMissing, ProblemLayerMissing:
		return 2
	case ProblemUnreferenced:
		return 3
	}
	return 1
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
	return fmt.Sprintf("%s %s:", engineKind(g.Kind, g.ReadOnly), g.ID)
}

// EngineGroups are the findings as the engines' "check" verb shows them
// (command-line reference, 5.11): layers, read-only layers, images, read-only
// images, containers. An image repeats the problems of its layers, a container
// those of its image. Each part is sorted by ID. Findings that the verb does
// not know are left out.
func (r *CheckReport) EngineGroups() []EngineGroup {
	g := newEngineGrouper(r)
	var groups []EngineGroup
	for _, part := range [][]EngineGroup{
		g.layerGroups(false), g.layerGroups(true), g.imageGroups(false), g.imageGroups(true), g.containerGroups(),
	} {
		slices.SortStableFunc(part, func(a, b EngineGroup) int { return strings.Compare(a.ID, b.ID) })
		groups = append(groups, part...)
	}
	return groups
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
	findings := slices.Clone(r.Findings)
	slices.SortStableFunc(findings, func(a, b Finding) int { return a.engineRank() - b.engineRank() })
	for _, f := range findings {
		// A layer that an image lacks is looked for in the whole stack below.
		if line := f.EngineText(); line != "" && (f.Problem != ProblemLayerMissing || f.Kind != KindImage) {
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
			groups = g.add(groups, EngineGroup{KindLayer, f.ID, false, []string{f.EngineText()}})
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
	for _, top := range uniqueIDs(i.TopLayers()) {
		seen := map[layer.ID]bool{}
		for id := top; id != "" && !seen[id]; id = g.layers[id].Parent {
			seen[id] = true
			if _, known := g.layers[id]; !known && g.report.layersKnown {
				missing := Finding{Kind: KindImage, ID: string(i.ID), ReadOnly: i.ReadOnly, Problem: ProblemLayerMissing, Layer: id}
				lines = append(lines, missing.EngineText())
			}
			lines = append(lines, g.own[objectKey{KindLayer, string(id)}]...)
		}
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
	if i, ok := g.images[c.Image]; ok {
		lines = append(lines, g.imageLines(i)...)
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
