package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// dockerLayerName is a layer's member, named by its diff ID as the engines do.
func dockerLayerName(l layer.Layer) string {
	return strings.TrimPrefix(string(l.DiffID), "sha256:") + ".tar"
}

// dockerArchive writes layers, configurations and the two lists, newest form and
// the one that very old engines read ("repositories").
func (s *saver) dockerArchive(ctx context.Context, plans []plan) error {
	if s.opts.Compression != archive.None {
		return fmt.Errorf("layers of a docker-archive are not compressed: %w", errdefs.ErrInvalid)
	}
	items := []dockerItem{}
	repositories := map[string]map[string]string{}
	for _, p := range plans {
		item, err := s.dockerImage(ctx, p)
		if err != nil {
			return fmt.Errorf("save image %s: %w", p.image.ID, err)
		}
		items = append(items, item)
		for _, tag := range item.RepoTags {
			at := strings.LastIndexByte(tag, ':') // they all have one, see tagged
			repo, version := tag[:at], tag[at+1:]
			if repositories[repo] == nil {
				repositories[repo] = map[string]string{}
			}
			repositories[repo][version] = string(p.image.ID)
		}
	}
	list, err := json.Marshal(items)
	if err != nil {
		return err
	}
	old, err := json.Marshal(repositories)
	if err != nil {
		return err
	}
	return errors.Join(s.file(dockerIndex, list), s.file("repositories", old))
}

// tagged reports whether the format has a place for a name: not for digests, nor for what a
// store may call an image that is no reference or has no tag.
func tagged(name string) bool {
	ref, err := reference.Parse(name)
	if err != nil {
		return false
	}
	_, hasTag := ref.(reference.NamedTagged)
	_, hasDigest := ref.(reference.Digested)
	return hasTag && !hasDigest
}

func (s *saver) dockerImage(ctx context.Context, p plan) (dockerItem, error) {
	config := blobDescriptor(dockerConfig, p.config)
	item := dockerItem{Config: config.Digest.Encoded() + ".json", RepoTags: []string{}, Layers: []string{}}
	for _, name := range p.names {
		if tagged(name) {
			item.RepoTags = append(item.RepoTags, name)
		}
	}
	for _, l := range p.layers {
		if _, err := s.layer(ctx, l); err != nil {
			return item, fmt.Errorf("layer %s: %w", l.ID, err)
		}
		item.Layers = append(item.Layers, dockerLayerName(l))
	}
	if s.to.has(item.Config, config.Size) {
		return item, nil
	}
	return item, s.file(item.Config, p.config)
}
