package strata

import (
	"context"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// chosen are the objects to verify.
type chosen struct {
	layers     map[layer.ID]bool
	images     map[image.ID]bool
	containers map[container.ID]bool
}

// choose makes the jobs for the named objects, in listing order; for everything
// when there are no names.
func (v *verifier) choose(ctx context.Context, names []string) error {
	c := chosen{map[layer.ID]bool{}, map[image.ID]bool{}, map[container.ID]bool{}}
	for _, name := range names {
		o, err := v.store.Find(ctx, name, KindContainer, KindImage, KindLayer)
		if err != nil {
			return err
		}
		v.chooseObject(&c, o)
	}
	all := len(names) == 0
	v.addLayers(func(id layer.ID) bool { return all || c.layers[id] })
	for _, i := range v.exam.snap.Images {
		if all || c.images[i.ID] {
			v.addImage(i)
		}
	}
	for _, one := range v.exam.snap.Containers {
		if all || c.containers[one.ID] {
			v.addContainer(one)
		}
	}
	return nil
}

func (v *verifier) chooseObject(c *chosen, o Object) {
	switch o.Kind {
	case KindLayer:
		c.layers[layer.ID(o.ID)] = true
	case KindImage:
		v.chooseImage(c, image.ID(o.ID))
	case KindContainer:
		c.containers[container.ID(o.ID)] = true
		if one := v.containersOf[container.ID(o.ID)]; one != nil {
			v.chooseStack(c, one.Layer)
			v.chooseImage(c, one.Image)
		}
	}
}

func (v *verifier) chooseImage(c *chosen, id image.ID) {
	i := v.imagesOf[id]
	if i == nil {
		return
	}
	c.images[id] = true
	for _, top := range i.TopLayers() {
		v.chooseStack(c, top)
	}
}

func (v *verifier) chooseStack(c *chosen, top layer.ID) {
	for _, id := range stackOf(top, v.layersOf) {
		c.layers[id] = true
	}
}

// addLayers makes the jobs of the layers. A layer whose record is flagged promises
// nothing.
func (v *verifier) addLayers(wanted func(layer.ID) bool) {
	for i := range v.exam.snap.Layers {
		l := &v.exam.snap.Layers[i]
		if !wanted(l.ID) || l.Incomplete() || v.layersOf[l.ID] != l {
			continue
		}
		for _, key := range l.BigDataNames {
			v.addItem(v.layerItem(*l, key))
		}
		if v.quick {
			continue
		}
		if !v.verifiable(l) {
			v.report.Unverified = append(v.report.Unverified, l.ID)
			continue
		}
		v.report.Layers++
		v.jobs = append(v.jobs, v.layerJob(*l))
	}
}

func (v *verifier) verifiable(l *layer.Layer) bool {
	if l.DiffID == "" {
		return false
	}
	p, err := v.store.place(l.ID)
	return err != nil || !p.composefs()
}

func (v *verifier) addImage(i image.Image) {
	for _, key := range i.BigDataNames {
		v.addItem(v.imageItem(i, key))
	}
}

func (v *verifier) addContainer(c container.Container) {
	for _, key := range c.BigDataNames {
		v.addItem(v.containerItem(c, key))
	}
}

func (v *verifier) addItem(it dataItem) {
	it.quick = v.quick
	v.report.Items++
	v.jobs = append(v.jobs, verifyJob{bytes: max(it.size, 0), run: it.verify})
}
