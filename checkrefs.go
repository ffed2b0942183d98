package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// checkLayers compares the layers' records with each other and with the names in
// the driver's home.
func (c *checker) checkLayers(ctx context.Context) error {
	for i := range c.exam.snap.Layers {
		l := &c.exam.snap.Layers[i]
		if c.layersOf[l.ID] != l {
			continue // hidden by one of the same ID in a store before
		}
		if l.Incomplete() {
			c.layerIs(l, ProblemInterrupted, RepairOpen, "its creation or deletion was interrupted; the rest is there until the store is used")
			continue
		}
		if l.Parent != "" && c.layersOf[l.Parent] == nil && !c.exam.lost[objectKey{KindLayer, string(l.Parent)}] {
			c.layerIs(l, ProblemParentMissing, RepairRemoveLayer, "the layer below, %s, is missing", l.Parent)
			c.layers[len(c.layers)-1].Layer = l.Parent
		}
		if err := c.checkPlace(ctx, l); err != nil {
			return err
		}
	}
	if err := c.checkDrafts(); err != nil {
		return err
	}
	if err := c.checkUnreferenced(); err != nil {
		return err
	}
	return c.checkLinks()
}

func (c *checker) layerIs(l *layer.Layer, p Problem, repair Repair, format string, args ...any) {
	c.layers = append(c.layers, layerFinding(l, p, repair, format, args...))
}

// checkPlace looks whether the driver has the layer, and its mount.
func (c *checker) checkPlace(ctx context.Context, l *layer.Layer) error {
	p, err := c.store.place(l.ID)
	has := err == nil && p.hasContent()
	if errors.Is(err, graphdriver.ErrNotSupported) {
		has, err = c.store.driver.get().Exists(ctx, graphdriver.ID(l.ID))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.layerIs(l, ProblemUnreadable, RepairNone, "%v", err)
		return nil
	}
	if !has {
		repair := RepairReload
		if l.DiffID == "" {
			repair = RepairRemoveLayer
		}
		c.layerIs(l, ProblemContentMissing, repair, "the driver has no content for it")
		return nil
	}
	return c.checkMount(ctx, l)
}

func (c *checker) checkMount(ctx context.Context, l *layer.Layer) error {
	state := c.store.mountState()
	if l.MountCount == 0 || state == nil {
		return nil
	}
	path, mounted, err := state.Mounted(ctx, graphdriver.ID(l.ID))
	if err != nil {
		return fmt.Errorf("mount state of layer %s: %w", l.ID, err)
	}
	if !mounted {
		f := layerFinding(l, ProblemMountCount, RepairCount, "counted as mounted %d times at %s, where nothing is mounted", l.MountCount, l.MountPath)
		f.Path, f.Bytes = path, 0
		f.Want, f.Got = "0", fmt.Sprint(l.MountCount)
		c.layers = append(c.layers, f)
	}
	return nil
}

// checkDrafts looks for layers that dead processes made for images that they did not
// record: those that garbage collection would remove.
func (c *checker) checkDrafts() error {
	if !c.exam.whole() {
		return nil
	}
	found, _, err := c.exam.tx.deadStrays(time.Time{})
	if err != nil {
		return err
	}
	c.strays = map[layer.ID]bool{}
	for i := range found {
		problem := ProblemLeftover
		if age := c.opts.UnreferencedAfter; age > 0 && time.Since(found[i].Created) >= age {
			problem = ProblemUnreferenced
		}
		c.strays[found[i].ID] = true
		c.layerIs(&found[i], problem, RepairCollect, strayReason)
	}
	return nil
}

// checkUnreferenced looks for old layers that nothing needs.
func (c *checker) checkUnreferenced() error {
	if c.opts.UnreferencedAfter <= 0 || !c.exam.whole() {
		return nil
	}
	needed := map[layer.ID]bool{}
	for _, i := range c.exam.snap.Images {
		for _, top := range i.TopLayers() {
			c.need(needed, top)
		}
	}
	for _, one := range c.exam.snap.Containers {
		c.need(needed, one.Layer)
	}
	if err := c.needCounted(needed); err != nil {
		return err
	}
	for i := range c.exam.snap.Layers {
		l := &c.exam.snap.Layers[i]
		if !needed[l.ID] && !l.ReadOnly && !l.Incomplete() && time.Since(l.Created) >= c.opts.UnreferencedAfter {
			c.layerIs(l, ProblemUnreferenced, RepairRemoveLayer, "no image or container needs it")
		}
	}
	return nil
}

// needCounted adds what a chain store keeps: named read-write layers, and layers that
// live processes lease, or make for images to be. Drafts of the dead have been told.
func (c *checker) needCounted(needed map[layer.ID]bool) error {
	kept, err := c.store.kept("")
	if err != nil {
		return err
	}
	for i := range c.exam.snap.Layers {
		l := &c.exam.snap.Layers[i]
		if l.RWName() != "" || kept[l.ID] || c.strays[l.ID] {
			c.need(needed, l.ID)
		}
	}
	return nil
}

func (c *checker) need(needed map[layer.ID]bool, top layer.ID) {
	for _, id := range stackOf(top, c.layersOf) {
		needed[id] = true
	}
}

// checkImages compares the images' records with those of layers.
func (c *checker) checkImages() {
	for _, i := range c.exam.snap.Images {
		wrong := c.checkStack(i)
		for n, top := range i.TopLayers() {
			if n == 0 && wrong && top == i.TopLayer {
				continue
			}
			if c.exam.layers && c.layersOf[top] == nil && !c.exam.lost[objectKey{KindLayer, string(top)}] {
				what := "its top layer"
				if n > 0 {
					what = "a copy of its top layer with other owners"
				}
				f := imageFinding(i, ProblemLayerMissing, RepairReload, "%s, %s, is missing", what, top)
				f.Layer = top
				c.images = append(c.images, f)
			}
		}
		c.checkDigests(i)
		if !c.checkUnrecorded(i) && lacksManifest(i) && !c.beingStored(i) {
			c.images = append(c.images, imageFinding(i, ProblemManifestMissing, RepairReload, "it has no manifest, so engines can not list or use it"))
		}
	}
}

// lacksManifest reports whether an engine stored the image half. Images that were
// made by hand, without any of what engines store, need no manifest.
func lacksManifest(i image.Image) bool {
	byEngine := func(key string) bool {
		return digest.Digest(key).Validate() == nil || strings.HasPrefix(key, image.ManifestKey+"-")
	}
	return slices.ContainsFunc(i.BigDataNames, byEngine) && !slices.Contains(i.BigDataNames, image.ManifestKey)
}

// storing is how long ago a data item of an image that is still being stored may
// have been written: other engines write the record first (on-disk format, 9.6).
const storing = time.Minute

// beingStored reports whether another engine may be about to add the manifest.
func (c *checker) beingStored(i image.Image) bool {
	info, err := os.Stat(c.store.images.DataDir(i))
	return err == nil && time.Since(info.ModTime()) < storing
}

func imageFinding(i image.Image, p Problem, repair Repair, format string, args ...any) Finding {
	return Finding{
		Kind: KindImage, ID: string(i.ID), ReadOnly: i.ReadOnly, Problem: p, Repair: repair,
		Reason: fmt.Sprintf(format, args...), Bytes: i.DataSize(),
	}
}

// checkContainers compares the containers' records with those of layers and images.
func (c *checker) checkContainers() {
	c.checkOwners()
	for _, one := range c.exam.snap.Containers {
		if c.exam.layers && one.Layer != "" && c.layersOf[one.Layer] == nil && !c.exam.lost[objectKey{KindLayer, string(one.Layer)}] {
			f := containerFinding(one, ProblemLayerMissing, RepairRemoveContainer, "its layer, %s, is missing", one.Layer)
			f.Layer = one.Layer
			c.containers = append(c.containers, f)
		}
		if c.exam.images && one.Image != "" && c.imagesOf[one.Image] == nil && !c.exam.lost[objectKey{KindImage, string(one.Image)}] {
			f := containerFinding(one, ProblemImageMissing, RepairRemoveContainer, "its image, %s, is missing", one.Image)
			f.Image = string(one.Image)
			c.containers = append(c.containers, f)
		}
	}
}

func containerFinding(one container.Container, p Problem, repair Repair, format string, args ...any) Finding {
	return Finding{
		Kind: KindContainer, ID: string(one.ID), Problem: p, Repair: repair,
		Reason: fmt.Sprintf(format, args...), Bytes: one.DataSize(),
	}
}
