package strata

import (
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// The IDs of images' layers follow from their content and what they stand on, and the names of
// most data items of images are digests (on-disk format, 7.1, 7.3). So a record that is
// wrong about these can be told from files that are, and set right.

// derived reports whether the layer's ID proves what its record says of the layer below.
func derived(l *layer.Layer) bool {
	return l.DiffID != "" && layer.ImageLayerID(l.Parent, l.DiffID) == l.ID
}

// wrongParent looks for the layer below that the ID proves, if the record names another one:
// none, or the one in the driver's notes.
func (c *checker) wrongParent(t *linkTable, l *layer.Layer, p layerPlace) {
	if l.DiffID == "" || derived(l) {
		return
	}
	candidates := []layer.ID{""}
	if text, err := atomicfile.Read(filepath.Join(p.dir, "lower")); err == nil {
		first, _, _ := strings.Cut(string(text), ":")
		candidates = append(candidates, t.of[strings.TrimPrefix(first, "l/")])
	}
	for _, parent := range candidates {
		if layer.ImageLayerID(parent, l.DiffID) != l.ID {
			continue
		}
		what := "that it stands on " + string(parent)
		if parent == "" {
			what = "that it stands on nothing"
		}
		c.layerIs(l, ProblemParentWrong, RepairRecord, "its record says that it stands on %q, its ID proves %s", l.Parent, what)
		c.layers[len(c.layers)-1].Layer = parent
		return
	}
}

// proven reports whether the records about all that a layer stands on are right.
func (c *checker) proven(l *layer.Layer) bool {
	stack := stackOf(l.ID, c.layersOf)
	if l.DiffID == "" { // a container's
		if !c.ofItsImage(l) {
			return false
		}
		stack = stack[1:]
	}
	for _, id := range stack {
		if !derived(c.layersOf[id]) {
			return false
		}
	}
	return len(stack) > 0
}

// ofItsImage reports whether a container's layer stands on the container's image.
func (c *checker) ofItsImage(l *layer.Layer) bool {
	for _, one := range c.exam.snap.Containers {
		if one.Layer != l.ID || c.imagesOf[one.Image] == nil {
			continue
		}
		for _, top := range c.imagesOf[one.Image].TopLayers() {
			if top == l.Parent {
				return true
			}
		}
	}
	return false
}

// named reports whether a data item's key is the digest of its content.
func named(key string, d digest.Digest) bool {
	return strings.TrimPrefix(key, image.ManifestKey+"-") == d.String()
}

// checkDigests looks at the digest by which an image is found: with one that is none, other engines open
// nothing of the store.
func (c *checker) checkDigests(i image.Image) {
	if i.Digest == "" || i.Digest.Validate() == nil {
		return
	}
	c.images = append(c.images, imageFinding(i, ProblemDataDigest, RepairRecord, "its recorded digest %q is none", string(i.Digest)))
}
