package cli

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stratastore/strata/layer"
)

// baseTrunk is the line that layers without a parent hang under.
const baseTrunk = "(base)"

// treeWriter draws the layers as trees: one for the base layers, and one for
// each parent that has no record.
type treeWriter struct {
	b        *bytes.Buffer
	idx      *index
	children map[layer.ID][]layer.Layer
}

func writeTree(b *bytes.Buffer, idx *index) {
	t := &treeWriter{b: b, idx: idx, children: map[layer.ID][]layer.Layer{}}
	var trunks []layer.ID
	for _, l := range idx.snap.Layers {
		if idx.layers[l.ID].Parent != l.Parent {
			continue // another store has a layer with this ID, which hides this one
		}
		if _, known := idx.layers[l.Parent]; !known && !slices.Contains(trunks, l.Parent) {
			trunks = append(trunks, l.Parent)
		}
		t.children[l.Parent] = append(t.children[l.Parent], l)
	}
	slices.SortStableFunc(trunks, func(a, b layer.ID) int { return len(t.children[a]) - len(t.children[b]) })
	for _, trunk := range trunks {
		if trunk == "" {
			fmt.Fprintln(b, baseTrunk)
		} else {
			fmt.Fprintln(b, trunk)
		}
		t.branches(trunk, "")
	}
}

// branches draws what stands on parent. The indent holds the bars of the
// ancestors that have further siblings.
func (t *treeWriter) branches(parent layer.ID, indent string) {
	list := t.children[parent]
	for n, l := range list {
		joint, below := "├─", "│ "
		if n == len(list)-1 {
			joint, below = "└─", "  "
		}
		fmt.Fprintf(t.b, "%s%s%s\n", indent, joint, l.ID)
		for _, note := range t.notes(l) {
			fmt.Fprintf(t.b, "%s%s%s\n", indent, below, note)
		}
		t.branches(l.ID, indent+below)
	}
}

// notes are the lines below a layer, in their order.
func (t *treeWriter) notes(l layer.Layer) []string {
	var notes []string
	for _, name := range l.Names {
		notes = append(notes, "name: "+name)
	}
	if l.MountPath != "" {
		notes = append(notes, "mount: "+l.MountPath)
	}
	for _, i := range t.idx.images[l.ID] {
		notes = append(notes, "image: "+string(i.ID))
		for _, name := range i.Names {
			notes = append(notes, "image name: "+name)
		}
	}
	for _, c := range t.idx.containers[l.ID] {
		notes = append(notes, "container: "+string(c.ID))
		for _, name := range c.Names {
			notes = append(notes, "container name: "+name)
		}
	}
	return notes
}
