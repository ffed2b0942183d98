package strata

import (
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/layer"
)

// checkOwners looks for containers whose layer is an image's, or another container's: each
// container has one of its own (on-disk format, 2.3).
func (c *checker) checkOwners() {
	tops := map[layer.ID]string{}
	for _, i := range c.exam.snap.Images {
		for _, top := range i.TopLayers() {
			tops[top] = "image " + string(i.ID)
		}
	}
	owners := map[layer.ID]container.ID{}
	for _, one := range c.exam.snap.Containers {
		if first, taken := owners[one.Layer]; !taken || c.closer(one, first) {
			owners[one.Layer] = one.ID
		}
	}
	for _, one := range c.exam.snap.Containers {
		whose := tops[one.Layer]
		if whose == "" && owners[one.Layer] != one.ID {
			whose = "container " + string(owners[one.Layer])
		}
		if one.Layer == "" || whose == "" || c.layersOf[one.Layer] == nil {
			continue
		}
		f := containerFinding(one, ProblemLayerWrong, RepairRemoveContainer, "its layer, %s, is that of %s", one.Layer, whose)
		if own := c.ownLayers(one, tops, owners); len(own) == 1 {
			f.Layer, f.Repair = own[0], RepairRecord
			f.Reason += "; " + string(own[0]) + " is the only one that is nobody's and stands on its image"
		}
		c.containers = append(c.containers, f)
	}
}

// closer reports whether the layer was rather made for the container than for the other one:
// engines make both within a moment.
func (c *checker) closer(one container.Container, than container.ID) bool {
	l := c.layersOf[one.Layer]
	i := slices.IndexFunc(c.exam.snap.Containers, func(o container.Container) bool { return o.ID == than })
	return l != nil && one.Created.Sub(l.Created).Abs() < c.exam.snap.Containers[i].Created.Sub(l.Created).Abs()
}

// ownLayers are those that may be the container's own: they stand on its image, came from no
// tar, and nothing needs them.
func (c *checker) ownLayers(one container.Container, tops map[layer.ID]string, owners map[layer.ID]container.ID) (own []layer.ID) {
	img := c.imagesOf[one.Image]
	if img == nil {
		return nil
	}
	parents := map[layer.ID]bool{}
	for i := range c.exam.snap.Layers {
		parents[c.exam.snap.Layers[i].Parent] = true
	}
	for i := range c.exam.snap.Layers {
		l := &c.exam.snap.Layers[i]
		switch {
		case l.DiffID != "" || l.TOCDigest != "" || l.ReadOnly || l.Incomplete() || l.RWName() != "":
		case tops[l.ID] != "" || owners[l.ID] != "" || parents[l.ID] || !slices.Contains(img.TopLayers(), l.Parent):
		default:
			own = append(own, l.ID)
		}
	}
	return own
}
