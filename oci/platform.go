package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

// maxIndexDepth caps indexes inside indexes; one level is usual.
const maxIndexDepth = 4

// ParsePlatform reads "os/architecture[/variant]" or "architecture". "" is the
// platform that the program runs on.
func ParsePlatform(text string) (v1.Platform, error) {
	p := v1.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}
	if text == "" {
		return p, nil
	}
	parts := strings.Split(text, "/")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return p, fmt.Errorf("platform %q is not OS/ARCHITECTURE[/VARIANT]: %w", text, errdefs.ErrInvalid)
	}
	if len(parts) == 1 {
		p.Architecture = parts[0]
		return p, nil
	}
	p.OS, p.Architecture = parts[0], parts[1]
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

func platformText(p v1.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// chosen is an image manifest with the index that it was chosen from.
type chosen struct {
	desc v1.Descriptor
	text []byte
	// index is the top-level index's text; nil when the entry was a manifest.
	index     []byte
	indexDesc v1.Descriptor
}

// choose follows indexes to the manifest for the platform.
func choose(ctx context.Context, src Source, desc v1.Descriptor, want v1.Platform) (chosen, error) {
	var c chosen
	for range maxIndexDepth {
		text, err := readJSON(ctx, src, desc)
		if err != nil {
			return c, err
		}
		mediaType, err := sniff(desc, text)
		if err != nil {
			return c, err
		}
		if isManifest(mediaType) {
			c.desc, c.text = desc, text
			c.desc.MediaType = mediaType
			return c, nil
		}
		if c.index == nil {
			c.index, c.indexDesc = text, desc
		}
		if desc, err = pick(text, want); err != nil {
			return c, fmt.Errorf("index %s: %w", c.indexDesc.Digest, err)
		}
	}
	return c, fmt.Errorf("index %s: more than %d indexes inside each other: %w", c.indexDesc.Digest, maxIndexDepth, errdefs.ErrLimit)
}

// sniff finds out what a document is: by its own mediaType, else by its
// descriptor's, else by its members; and refuses what says two things at once
// (CVE-2021-41190: a manifest that is also an index).
func sniff(desc v1.Descriptor, text []byte) (string, error) {
	var doc struct {
		MediaType string          `json:"mediaType"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return "", fmt.Errorf("manifest %s: %w: %w", desc.Digest, err, errdefs.ErrCorrupt)
	}
	mediaType := doc.MediaType
	if mediaType == "" {
		mediaType = desc.MediaType
	}
	if mediaType == "" && doc.Manifests != nil {
		mediaType = v1.MediaTypeImageIndex
	}
	if mediaType == "" && doc.Config != nil {
		mediaType = v1.MediaTypeImageManifest
	}
	switch {
	case isIndex(mediaType) && (doc.Config != nil || doc.Layers != nil), isManifest(mediaType) && doc.Manifests != nil:
		return "", fmt.Errorf("manifest %s is a manifest and an index at once: %w", desc.Digest, errdefs.ErrInvalid)
	case isIndex(mediaType), isManifest(mediaType):
		return mediaType, nil
	case mediaType == dockerSchema1 || mediaType == dockerSchema1JWS:
		return "", fmt.Errorf("manifest %s is of Docker's schema 1, which no longer is in use: %w", desc.Digest, errdefs.ErrUnsupported)
	}
	return "", fmt.Errorf("manifest %s has the media type %q: %w", desc.Digest, mediaType, errdefs.ErrUnsupported)
}

// pick returns the best manifest of an index for the platform: the wanted
// variant, else one without a variant, else the first of the architecture. An
// index with a single image and no platform is taken as it is.
func pick(index []byte, want v1.Platform) (v1.Descriptor, error) {
	var idx v1.Index
	if err := json.Unmarshal(index, &idx); err != nil {
		return v1.Descriptor{}, fmt.Errorf("%w: %w", err, errdefs.ErrCorrupt)
	}
	if err := tooMany("it", len(idx.Manifests)); err != nil {
		return v1.Descriptor{}, err
	}
	best, bestScore := v1.Descriptor{}, 0
	for _, d := range idx.Manifests {
		if s := score(d, want, len(idx.Manifests)); s > bestScore {
			best, bestScore = d, s
		}
	}
	if bestScore == 0 {
		return best, fmt.Errorf("no image for %s, only for: %s: %w", platformText(want), platformList(idx.Manifests), errdefs.ErrNotFound)
	}
	return best, nil
}

// maxListed is how many platforms an error lists.
const maxListed = 20

// platformList names the platforms of an index, each once.
func platformList(manifests []v1.Descriptor) string {
	var have []string
	for _, d := range manifests {
		if d.Platform == nil || slices.Contains(have, platformText(*d.Platform)) {
			continue
		}
		if len(have) == maxListed {
			have = append(have, "and more")
			break
		}
		have = append(have, platformText(*d.Platform))
	}
	return strings.Join(have, ", ")
}

func score(d v1.Descriptor, want v1.Platform, siblings int) int {
	p := d.Platform
	switch {
	case p == nil && siblings == 1:
		return 1
	case p == nil || p.OS != want.OS || p.Architecture != want.Architecture:
		return 0
	case p.Variant == want.Variant:
		return 4
	case p.Variant == "":
		return 3
	case want.Variant == "":
		return 2
	default:
		return 0
	}
}
