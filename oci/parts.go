package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// parts are the documents of one image, checked against each other.
type parts struct {
	chosen
	manifest manifest
	config   []byte
	created  time.Time
	// diffs has one diff ID for each of the manifest's layers, base first.
	diffs []layer.DiffID
}

// id is the image ID: the hex part of the configuration's digest (on-disk format, 7.2).
func (p *parts) id() image.ID { return image.ID(p.manifest.Config.Digest.Encoded()) }

// readParts reads and checks manifest and configuration.
func readParts(ctx context.Context, src Source, c chosen) (*parts, error) {
	p := &parts{chosen: c}
	if err := json.Unmarshal(c.text, &p.manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w: %w", c.desc.Digest, err, errdefs.ErrCorrupt)
	}
	if err := p.checkManifest(); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", c.desc.Digest, err)
	}
	var err error
	if p.config, err = readJSON(ctx, src, p.manifest.Config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return p, p.readConfig()
}

func (p *parts) checkManifest() error {
	switch p.manifest.Config.MediaType {
	case v1.MediaTypeImageConfig, dockerConfig:
	default:
		return fmt.Errorf("its configuration is %q, so it is no container image: %w", p.manifest.Config.MediaType, errdefs.ErrUnsupported)
	}
	for _, d := range p.manifest.Layers {
		if err := validDescriptor(d); err != nil {
			return err
		}
		if !isLayer(d.MediaType) {
			return fmt.Errorf("layer %s is %q, which can not be unpacked: %w", d.Digest, d.MediaType, errdefs.ErrUnsupported)
		}
	}
	return nil
}

func (p *parts) readConfig() error {
	diffs, err := diffIDs(p.config)
	if err != nil {
		return err
	}
	if len(diffs) != len(p.manifest.Layers) {
		return fmt.Errorf("%d layers in the manifest, %d diff IDs in the configuration: %w", len(p.manifest.Layers), len(diffs), errdefs.ErrCorrupt)
	}
	for _, d := range diffs {
		p.diffs = append(p.diffs, layer.DiffID(d))
	}
	var c struct {
		Created *time.Time `json:"created"`
	}
	if err := json.Unmarshal(p.config, &c); err != nil {
		return fmt.Errorf("configuration: created: %w: %w", err, errdefs.ErrCorrupt)
	}
	if c.Created != nil {
		p.created = *c.Created
	}
	return nil
}
