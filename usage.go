package strata

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// ObjectUsage is what one object takes on the disk, in bytes.
type ObjectUsage struct {
	Kind     Kind
	ID       string
	Names    []string
	ReadOnly bool
	// Own is what the object has for itself: a layer its files, an image its data
	// items, a container its data items and the engine's files about it.
	Own int64
	// Shared is what else it needs that other images or containers need, too; for a
	// layer Own, when more than one of them needs it.
	Shared int64
	// Unique is what else it needs and nobody else does, and Own; Shared and Unique
	// together are the whole of the object.
	Unique int64
	// Freed is what removing it alone gives back now: 0 for what is in use.
	Freed int64
}

// UsageTotals adds up the roots that are written, in bytes.
type UsageTotals struct {
	Layers, Images, Containers int64
	// Records are record and lock files and what strata keeps for itself.
	Records int64
	// Engines are files of the programs that use the store, volumes among them.
	Engines int64
	// Unaccounted is in the store's directories and belongs to no record: what
	// garbage collection may give back.
	Unaccounted int64
	// Total is all of it: what du -x says about the roots.
	Total int64
}

// UsageReport is what takes the disk.
type UsageReport struct {
	// Layers, Images and Containers are in listing order.
	Layers, Images, Containers []ObjectUsage
	Totals                     UsageTotals
	// Walked is how many layers had to be walked; the others' sizes were known.
	Walked int
}

// Usage tells what each object takes on the disk, and what removing it would give
// back. Sizes of layers that can not have changed are kept in "strata/usage.json"
// of the graph root, so that only new, mounted and changed ones are walked. No lock
// is held while walking: what changes meanwhile may be counted or not.
func (s *Store) Usage(ctx context.Context) (*UsageReport, error) {
	e, err := s.examine(ctx, nil)
	if err != nil {
		return nil, err
	}
	if !e.whole() {
		return nil, corruptRecords("usage", e)
	}
	u := &usage{store: s, exam: e, layersOf: e.layerIndex(), imagesOf: e.imageIndex(), layers: map[layer.ID]int64{}}
	if err := u.measure(ctx); err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	u.countUsers()
	return u.report(), nil
}

// usage is one run.
type usage struct {
	store    *Store
	exam     *exam
	layersOf map[layer.ID]*layer.Layer
	imagesOf map[image.ID]*image.Image

	layers     map[layer.ID]int64
	images     []int64 // by index, without the layers
	containers []int64
	totals     UsageTotals
	walked     int

	// users counts the images and containers that need a layer.
	users map[layer.ID]int
	// What keeps a layer from being deleted: layers on it, images with it on top,
	// the container that it belongs to.
	children, tops map[layer.ID]int
	held           map[layer.ID]bool
	inUse          map[image.ID]bool // by containers
}

func (u *usage) countUsers() {
	u.users, u.children, u.tops = map[layer.ID]int{}, map[layer.ID]int{}, map[layer.ID]int{}
	u.held, u.inUse = map[layer.ID]bool{}, map[image.ID]bool{}
	for id, l := range u.layersOf {
		if l.Parent != "" && id != "" {
			u.children[l.Parent]++
		}
	}
	for _, i := range u.exam.snap.Images {
		for _, top := range uniqueIDs(i.TopLayers()) {
			u.tops[top]++
		}
		for _, id := range u.needs(i.TopLayers()...) {
			u.users[id]++
		}
	}
	for _, c := range u.exam.snap.Containers {
		u.held[c.Layer], u.inUse[c.Image] = true, true
		for _, id := range u.needs(c.Layer) {
			u.users[id]++
		}
	}
}

// needs are the layers of one or more stacks, each once.
func (u *usage) needs(tops ...layer.ID) (ids []layer.ID) {
	for _, top := range tops {
		ids = append(ids, stackOf(top, u.layersOf)...)
	}
	return uniqueIDs(ids)
}

func (u *usage) report() *UsageReport {
	r := &UsageReport{Totals: u.totals, Walked: u.walked}
	for i := range u.exam.snap.Layers {
		r.Layers = append(r.Layers, u.layer(&u.exam.snap.Layers[i]))
	}
	for n, i := range u.exam.snap.Images {
		r.Images = append(r.Images, u.image(i, u.images[n]))
	}
	for n, c := range u.exam.snap.Containers {
		r.Containers = append(r.Containers, u.container(c, u.containers[n]))
	}
	return r
}

func (u *usage) layer(l *layer.Layer) ObjectUsage {
	o := ObjectUsage{Kind: KindLayer, ID: string(l.ID), Names: l.Names, ReadOnly: l.ReadOnly, Own: u.layers[l.ID]}
	if u.users[l.ID] > 1 {
		o.Shared = o.Own
	} else {
		o.Unique = o.Own
	}
	if !l.ReadOnly && u.children[l.ID] == 0 && u.tops[l.ID] == 0 && !u.held[l.ID] {
		o.Freed = o.Own
	}
	return o
}

func (u *usage) image(i image.Image, own int64) ObjectUsage {
	o := ObjectUsage{Kind: KindImage, ID: string(i.ID), Names: i.Names, ReadOnly: i.ReadOnly, Own: own, Unique: own}
	u.split(&o, u.needs(i.TopLayers()...))
	if !i.ReadOnly && !u.inUse[i.ID] {
		o.Freed = own
		for id := range u.goingWith(i) {
			o.Freed += u.layers[id]
		}
	}
	return o
}

func (u *usage) container(c container.Container, own int64) ObjectUsage {
	o := ObjectUsage{Kind: KindContainer, ID: string(c.ID), Names: c.Names, Own: own, Unique: own}
	u.split(&o, u.needs(c.Layer))
	o.Freed = own
	if l := u.layersOf[c.Layer]; l != nil && !l.ReadOnly && u.children[l.ID] == 0 {
		o.Freed += u.layers[c.Layer]
	}
	return o
}

func (u *usage) split(o *ObjectUsage, ids []layer.ID) {
	for _, id := range ids {
		if u.users[id] > 1 {
			o.Shared += u.layers[id]
		} else {
			o.Unique += u.layers[id]
		}
	}
}

// goingWith are the layers that deleting the image deletes (on-disk format, 7.5).
func (u *usage) goingWith(i image.Image) map[layer.ID]bool {
	going := map[layer.ID]bool{}
	goingChildren := map[layer.ID]int{}
	tops := i.TopLayers()
	slices.Reverse(tops) // the copies, then the top layer
	for n, id := range tops {
		for l := u.layersOf[id]; l != nil && !l.ReadOnly && !going[l.ID]; l = u.layersOf[l.Parent] {
			others := u.tops[l.ID]
			if slices.Contains(tops, l.ID) {
				others--
			}
			if others > 0 || u.held[l.ID] || u.children[l.ID] > goingChildren[l.ID] {
				break
			}
			going[l.ID] = true
			goingChildren[l.Parent]++
			if n < len(tops)-1 {
				break // of a copy only the copy itself
			}
		}
	}
	return going
}
