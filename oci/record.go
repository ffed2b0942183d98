package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// items are the image's data in the order of the other engines (on-disk format, 7.3).
func (p *parts) items() []image.BigDatum {
	list := []image.BigDatum{{Key: p.manifestConfigKey(), Data: p.config, Digest: p.manifest.Config.Digest}}
	if p.index != nil {
		list = append(list, image.BigDatum{Key: manifestKey(p.indexDesc.Digest), Data: p.index, Digest: p.indexDesc.Digest})
	}
	d := p.desc.Digest
	return append(list,
		image.BigDatum{Key: manifestKey(d), Data: p.text, Digest: d},
		image.BigDatum{Key: image.ManifestKey, Data: p.text, Digest: d},
		image.BigDatum{Key: "signature-" + d.Encoded(), Data: []byte{}},
	)
}

func (p *parts) manifestConfigKey() string { return p.manifest.Config.Digest.String() }

func manifestKey(d digest.Digest) string { return "manifest-" + d.String() }

// metadata is the text that engines read the signatures' sizes from.
func (p *parts) metadata() (string, error) {
	text, err := json.Marshal(map[string]map[string][]int{"signatures-sizes": {p.desc.Digest.String(): {}}})
	return string(text), err
}

// record stores the image in one save, or gives an existing one the names. Then the draft
// is over.
func record(ctx context.Context, store Store, d *strata.Draft, p *parts, top layer.ID, names []string) (existed bool, err error) {
	metadata, err := p.metadata()
	if err != nil {
		return false, err
	}
	opts := image.CreateOptions{
		ID: p.id(), TopLayer: string(top), Created: p.created, Digest: p.desc.Digest,
		Metadata: metadata, BigData: p.items(), Names: names, NamesHistory: image.History(nil, names),
		MoveNames: true, // as everywhere; with the image, or not at all
	}
	_, err = store.CreateImage(ctx, opts)
	if existed = errors.Is(err, image.ErrDuplicateID); existed {
		err = addTo(ctx, store, p, names)
	}
	if err == nil && existed {
		err = d.Discard(ctx) // it may stand on other layers
	}
	if err == nil {
		d.Done(ctx, top)
	}
	return existed, err
}

// addTo adds to an image that is there what it lacks, and the names.
func addTo(ctx context.Context, store Store, p *parts, names []string) error {
	if err := complete(ctx, store, p); err != nil {
		return err
	}
	if len(names) > 0 {
		if _, err := store.AddNames(ctx, string(p.id()), names); err != nil {
			return fmt.Errorf("name image %s: %w", p.id(), err)
		}
	}
	return nil
}

// complete adds the items that an existing image lacks: those of another index,
// and those that a killed engine left out.
func complete(ctx context.Context, store Store, p *parts) error {
	img, err := store.Image(ctx, string(p.id()))
	if err != nil {
		return err
	}
	for _, item := range p.items() {
		if _, ok := img.BigDataSizes[item.Key]; ok || (item.Key == image.ManifestKey && img.Digest != "") {
			continue
		}
		if err := store.SetBigData(ctx, strata.KindImage, string(img.ID), item.Key, item.Data); err != nil {
			return fmt.Errorf("image %s: item %s: %w", img.ID, item.Key, err)
		}
	}
	return nil
}
