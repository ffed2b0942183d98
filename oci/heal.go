package oci

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// heal verifies an image that the store has already, and puts right what is damaged:
// layers from their blobs, lowest first, and data items. It returns the number of
// layers. An image that the store has not is nothing to heal.
func heal(ctx context.Context, store Store, src Source, p *parts, progress Progress) (layers int, err error) {
	unproven, err := healUnproven(ctx, store, src, p, progress)
	if err != nil {
		return unproven, err
	}
	layers, err = healImage(ctx, store, src, p, progress)
	return unproven + layers, err
}

// healUnproven deals with layers whose records have lost their diff ID, whichever image they are
// of: nothing can be verified without.
func healUnproven(ctx context.Context, store Store, src Source, p *parts, progress Progress) (layers int, err error) {
	for i, id := range p.layerIDs() {
		l, err := store.Layer(ctx, string(id))
		if err != nil && !errors.Is(err, layer.ErrUnknown) {
			return layers, err
		}
		if err != nil || l.ID != id || l.DiffID != "" || l.ReadOnly {
			continue
		}
		if err := healLayer(ctx, store, src, p, i, id, progress); err != nil {
			return layers, fmt.Errorf("heal layer %s: %w", id, err)
		}
		layers++
	}
	return layers, nil
}

func healImage(ctx context.Context, store Store, src Source, p *parts, progress Progress) (layers int, err error) {
	img, err := store.Image(ctx, string(p.id()))
	if errors.Is(err, image.ErrUnknown) || err == nil && img.ID != p.id() {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	damaged, err := findDamage(ctx, store, img, progress)
	if err != nil {
		return 0, fmt.Errorf("verify the image that is there: %w", err)
	}
	for i, id := range p.layerIDs() {
		if !damaged.layers[id] {
			continue
		}
		if err := healLayer(ctx, store, src, p, i, id, progress); err != nil {
			return layers, fmt.Errorf("heal layer %s: %w", id, err)
		}
		layers++
	}
	for _, item := range p.items() {
		if !damaged.items[item.Key] {
			continue
		}
		if err := store.SetBigData(ctx, strata.KindImage, string(img.ID), item.Key, item.Data); err != nil {
			return layers, fmt.Errorf("heal data of image %s: %w", img.ID, err)
		}
	}
	return layers, nil
}

// damage is what verifying an image found.
type damage struct {
	layers map[layer.ID]bool
	items  map[string]bool
}

func findDamage(ctx context.Context, store Store, img image.Image, progress Progress) (damage, error) {
	d := damage{map[layer.ID]bool{}, map[string]bool{}}
	task := progress.Start("verify "+short(string(img.ID)), -1)
	var before int64
	report, err := store.Verify(ctx, strata.VerifyOptions{Objects: []string{string(img.ID)}, Trees: true, Progress: func(v strata.VerifyProgress) {
		task.Add(v.Bytes - before)
		before = v.Bytes
	}})
	if err != nil {
		task.Done("failed")
		return d, err
	}
	for _, f := range report.Findings {
		switch {
		case f.ReadOnly || f.Repair == strata.RepairNone:
		case f.Kind == strata.KindLayer && f.Item == "" && f.Repair != strata.RepairRecord:
			d.layers[layer.ID(f.ID)] = true
		case f.Kind == strata.KindImage && f.ID == string(img.ID) && f.Item != "":
			d.items[f.Item] = true
		}
	}
	remark := "done"
	if len(d.layers)+len(d.items) > 0 {
		remark = "damaged"
	}
	task.Done(remark)
	return d, nil
}

func healLayer(ctx context.Context, store Store, src Source, p *parts, i int, id layer.ID, progress Progress) error {
	desc := p.manifest.Layers[i]
	blob, err := src.Blob(ctx, desc)
	if err != nil {
		return err
	}
	defer blob.Close()
	task := progress.Start("heal layer "+short(string(p.diffs[i])), desc.Size)
	if err := store.HealLayer(ctx, id, counted{blob, task}); err != nil {
		task.Done("failed")
		return err
	}
	task.Done("healed")
	return nil
}
