package oci

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// newParts makes the manifest for a configuration and its layers, base first.
func newParts(config []byte, layers []layer.Layer) (*parts, error) {
	p := &parts{config: config}
	p.manifest = manifest{
		SchemaVersion: 2, MediaType: v1.MediaTypeImageManifest,
		Config: blobDescriptor(v1.MediaTypeImageConfig, config), Layers: []v1.Descriptor{},
	}
	for _, l := range layers {
		if l.DiffID == "" {
			return nil, fmt.Errorf("layer %s has no recorded diff ID: %w", l.ID, errdefs.ErrUnsupported)
		}
		p.manifest.Layers = append(p.manifest.Layers, v1.Descriptor{
			MediaType: layerMediaType(archive.None), Digest: digest.Digest(l.DiffID), Size: l.DiffSize,
		})
	}
	var err error
	if p.text, err = json.Marshal(p.manifest); err != nil {
		return nil, err
	}
	p.desc = blobDescriptor(v1.MediaTypeImageManifest, p.text)
	return p, p.readConfig()
}

// UncompressedManifest makes a manifest in Docker's form (schema 2) for a source
// that has none of its own, such as an archive: the layers, base first, are
// named by their diff IDs, as the engines do when they store such images.
func UncompressedManifest(config []byte, layers []v1.Descriptor) (text []byte, desc v1.Descriptor, err error) {
	return uncompressedManifest(blobDescriptor(dockerConfig, config), layers)
}

// uncompressedManifest is the same for a configuration that is described already.
func uncompressedManifest(config v1.Descriptor, layers []v1.Descriptor) (text []byte, desc v1.Descriptor, err error) {
	m := manifest{SchemaVersion: 2, MediaType: dockerManifest, Config: config, Layers: []v1.Descriptor{}}
	for _, l := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: dockerLayer, Digest: l.Digest, Size: l.Size})
	}
	if text, err = json.Marshal(m); err != nil {
		return nil, desc, err
	}
	return text, blobDescriptor(dockerManifest, text), nil
}
