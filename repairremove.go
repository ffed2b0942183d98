package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/layer"
)

// errNotAsked: only removing the object cures it.
var errNotAsked = errdefs.New(errdefs.ErrUnsupported, "it would have to be removed, which was not asked for")

// errGoing: what stands on the object leads back to it.
var errGoing = errdefs.New(errdefs.ErrCorrupt, "it stands on itself")

// remove takes the object of a finding away; once for all of its findings.
func (r *repairer) remove(ctx context.Context, f Finding) error {
	if !r.opts.Remove || f.Kind == KindContainer && !r.opts.Containers {
		return errNotAsked
	}
	if f.Problem == ProblemLayerWrong && f.Kind == KindContainer {
		// Its layer is somebody else's, and must not go with it.
		err := r.change(ctx, func(t *tx) error { return t.writeContainers.SetLayer(container.ID(f.ID), "") })
		if err := ignoreGone(err); err != nil {
			return err
		}
	}
	return r.removeObject(ctx, objectKey{f.Kind, f.ID})
}

func (r *repairer) removeObject(ctx context.Context, key objectKey) error {
	if err, was := r.done[key]; was {
		return err
	}
	r.done[key] = errGoing // records may lead in a circle
	var err error
	switch key.kind {
	case KindContainer:
		err = r.removeContainer(ctx, container.ID(key.id))
	case KindImage:
		err = r.removeImage(ctx, image.ID(key.id))
	case KindLayer:
		err = r.removeLayer(ctx, layer.ID(key.id))
	}
	r.done[key] = err
	return err
}

func (r *repairer) removeContainer(ctx context.Context, id container.ID) error {
	c, err := r.store.Container(ctx, string(id))
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := r.store.layers.Unmount(ctx, c.Layer, layer.UnmountOptions{Force: true}); err != nil && !errors.Is(err, layer.ErrUnknown) {
		return err
	}
	object := "container-" + string(c.ID)
	if err := errors.Join(r.note(object, c.Record), r.keepLayer(object, c.Layer), r.keep(object, r.store.containers.DataDir(c.ID))); err != nil {
		return err
	}
	if err := r.store.DeleteContainer(ctx, string(c.ID)); err != nil {
		return err
	}
	r.gone(KindContainer, string(c.ID), c.Names, c.Layer)
	return nil
}

// gone notes an object that was removed, and layers that went with it.
func (r *repairer) gone(kind Kind, id string, names []string, layers ...layer.ID) {
	r.removed = append(r.removed, Object{Kind: kind, ID: id, Names: names})
	for _, l := range layers {
		r.removed = append(r.removed, Object{Kind: KindLayer, ID: string(l)})
	}
}

func (r *repairer) removeImage(ctx context.Context, id image.ID) error {
	i, err := r.store.Image(ctx, string(id))
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.removeContainersOf(ctx, func(c container.Container, _ []layer.ID) bool { return c.Image == i.ID }); err != nil {
		return err
	}
	going, err := r.store.DeleteImage(ctx, string(i.ID), DeleteImageOptions{DryRun: true})
	if err != nil {
		return fmt.Errorf("deleting image %s: %w", i.ID, err)
	}
	object := "image-" + string(i.ID)
	if err := errors.Join(r.note(object, i.Record), r.keep(object, r.store.images.DataDir(i))); err != nil {
		return err
	}
	for _, id := range going {
		if err := r.keepLayer(object, id); err != nil {
			return err
		}
	}
	if going, err = r.store.DeleteImage(ctx, string(i.ID), DeleteImageOptions{}); err != nil {
		return err
	}
	r.gone(KindImage, string(i.ID), i.Names, going...)
	return nil
}

// removeContainersOf removes the containers that are asked for and match, by their
// records and stacks of layers. Otherwise they stay, and with them what they need.
func (r *repairer) removeContainersOf(ctx context.Context, match func(container.Container, []layer.ID) bool) error {
	if !r.opts.Containers {
		return nil
	}
	e, err := r.store.examine(ctx, nil)
	if err != nil {
		return err
	}
	of := e.layerIndex()
	for _, c := range e.snap.Containers {
		if !match(c, stackOf(c.Layer, of)) {
			continue
		}
		if err := r.removeObject(ctx, objectKey{KindContainer, string(c.ID)}); err != nil {
			return err
		}
	}
	return nil
}

// removeLayer removes the images on the layer first, and layers on it that nothing
// needs any more.
func (r *repairer) removeLayer(ctx context.Context, id layer.ID) error {
	if err := r.removeContainersOf(ctx, func(_ container.Container, stack []layer.ID) bool { return slices.Contains(stack, id) }); err != nil {
		return err
	}
	e, err := r.store.examine(ctx, nil)
	if err != nil {
		return err
	}
	if !e.whole() {
		return corruptRecords("remove layer "+string(id), e)
	}
	of := e.layerIndex()
	for _, i := range e.snap.Images {
		on := func(top layer.ID) bool { return slices.Contains(stackOf(top, of), id) }
		if !i.ReadOnly && slices.ContainsFunc(i.TopLayers(), on) {
			if err := r.removeObject(ctx, objectKey{KindImage, string(i.ID)}); err != nil {
				return err
			}
		}
	}
	for _, l := range e.snap.Layers {
		if l.Parent == id && !l.ReadOnly {
			if err := r.removeObject(ctx, objectKey{KindLayer, string(l.ID)}); err != nil {
				return err
			}
		}
	}
	return r.removeBareLayer(ctx, id)
}

// removeBareLayer removes a layer that nothing needs.
func (r *repairer) removeBareLayer(ctx context.Context, id layer.ID) error {
	l, err := r.unusedLayer(ctx, id)
	if isUnknown(err) || errors.Is(err, layer.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	object := "layer-" + string(id)
	if err := errors.Join(r.note(object, l.Record), r.keepLayer(object, id)); err != nil {
		return err
	}
	if err := r.store.DeleteLayer(ctx, string(id)); err != nil {
		return err
	}
	r.gone(KindLayer, string(id), l.Names)
	return nil
}

func (r *repairer) unusedLayer(ctx context.Context, id layer.ID) (l layer.Layer, err error) {
	t, err := r.store.begin(ctx, want{layers: shared, images: shared, containers: shared})
	if err != nil {
		return layer.Layer{}, err
	}
	defer t.end(&err)
	if l, err = t.layers.Get(id); err != nil {
		return l, err
	}
	images, err := t.images.ByTopLayer(id)
	if err != nil {
		return l, err
	}
	return l, t.layerUnused(l, images)
}

// note keeps the record of what is removed.
func (r *repairer) note(object string, record any) error {
	if r.opts.Discard {
		return nil
	}
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return r.trash.note(object, data)
}

func (r *repairer) keep(object, path string) error {
	if r.opts.Discard {
		return nil
	}
	return r.trash.keep(object, path)
}

// keepLayer keeps the layer's content and what lies beside its record. Nothing may
// need the layer.
func (r *repairer) keepLayer(object string, id layer.ID) error {
	if id == "" {
		return nil
	}
	p, err := r.store.place(id)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, graphdriver.ErrNotSupported) || p.home.readOnly {
		return nil // nothing to keep, or nobody knows where
	}
	if err != nil {
		return err
	}
	beside := layersDir(r.store.roots.graph, r.store.driver.name)
	return errors.Join(
		r.keepLink(filepath.Join(object, "content"), p),
		r.keep(filepath.Join(object, "content"), p.dir),
		r.keep(filepath.Join(object, "content"), filepath.Join(beside, string(id)+".tar-split.gz")),
		r.keep(filepath.Join(object, "data"), filepath.Join(beside, string(id))),
	)
}

// keepLink takes the layer's short link along: the driver could not find it any more
// once the content is away (on-disk format, 4.1).
func (r *repairer) keepLink(object string, p layerPlace) error {
	name, err := atomicfile.Read(filepath.Join(p.dir, "link"))
	if err != nil || len(name) != linkLength || strings.Contains(string(name), "/") {
		return nil //nolint:nilerr // no link that could be told; garbage collection finds it
	}
	return r.keep(object, filepath.Join(p.home.path, "l", string(name)))
}
