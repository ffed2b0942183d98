package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
)

// dockerIndex is the file that lists a docker-archive's images (Docker image
// specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
const dockerIndex = "manifest.json"

// dockerItem is one image of the list.
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// maxMade caps the bytes of an archive's configurations, by name, and made manifests, which
// are all kept in memory.
const maxMade = 64 << 20

// dockerArchive is a Source over a docker-archive. Such an archive has no
// manifests; they are made here, with uncompressed layers named by their diff
// IDs, as the other engines do.
type dockerArchive struct {
	files files
	items []dockerItem
	// made holds the manifests and configurations by digest, path the layers' members.
	made      map[digest.Digest][]byte
	madeBytes int
	path      map[digest.Digest]string
	list      entryList

	// configs and sizes are what is known of a member already: the same one may stand
	// in the list any number of times.
	configs map[string]dockerImage
	sizes   map[string]int64
	limits  archive.Limits
}

// dockerImage is a configuration with its diff IDs.
type dockerImage struct {
	desc  v1.Descriptor
	diffs []digest.Digest
}

func openDockerArchive(ctx context.Context, f files, limits archive.Limits) (Source, error) {
	text, err := readFile(f, dockerIndex)
	if err != nil {
		return nil, err
	}
	a := &dockerArchive{
		files: f, made: map[digest.Digest][]byte{}, path: map[digest.Digest]string{},
		configs: map[string]dockerImage{}, sizes: map[string]int64{}, limits: limits,
	}
	if err := json.Unmarshal(text, &a.items); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dockerIndex, err, errdefs.ErrCorrupt)
	}
	if err := tooMany(dockerIndex, len(a.items)); err != nil {
		return nil, err
	}
	for _, item := range a.items {
		if err := a.add(ctx, item); err != nil {
			return nil, fmt.Errorf("image %s: %w", item.Config, err)
		}
	}
	return a, nil
}

// add makes the manifest of one image.
func (a *dockerArchive) add(ctx context.Context, item dockerItem) error {
	config, err := a.config(item.Config)
	if err != nil {
		return err
	}
	if len(config.diffs) != len(item.Layers) {
		return fmt.Errorf("%d layers, but %d diff IDs in the configuration: %w", len(item.Layers), len(config.diffs), errdefs.ErrCorrupt)
	}
	layers := make([]v1.Descriptor, len(config.diffs))
	for i, name := range item.Layers {
		if layers[i], err = a.layer(ctx, name, config.diffs[i]); err != nil {
			return fmt.Errorf("layer %s: %w", name, err)
		}
	}
	text, desc, err := uncompressedManifest(config.desc, layers)
	if err != nil {
		return err
	}
	if _, known := a.made[desc.Digest]; !known {
		if err := a.keep(desc.Digest, text); err != nil {
			return err
		}
	}
	entry := Entry{Descriptor: desc}
	for _, tag := range item.RepoTags {
		full, err := RegistryName(tag)
		if err != nil {
			return err
		}
		entry.Names = append(entry.Names, full)
	}
	a.list.add(entry)
	return nil
}

// config reads a configuration, once. What is the same under another name counts once more:
// it was read again.
func (a *dockerArchive) config(name string) (c dockerImage, err error) {
	if c, known := a.configs[name]; known {
		return c, nil
	}
	text, err := readFile(a.files, name)
	if err != nil {
		return c, err
	}
	if c.diffs, err = diffIDs(text); err != nil {
		return c, err
	}
	c.desc = blobDescriptor(dockerConfig, text)
	a.configs[name] = c
	return c, a.keep(c.desc.Digest, text)
}

// keep holds a document for Blob.
func (a *dockerArchive) keep(d digest.Digest, text []byte) error {
	a.made[d] = text
	if a.madeBytes += len(text); a.madeBytes > maxMade {
		return fmt.Errorf("configurations and manifests have more than %d bytes: %w", maxMade, errdefs.ErrLimit)
	}
	return nil
}

// layer describes one layer member.
func (a *dockerArchive) layer(ctx context.Context, name string, diff digest.Digest) (v1.Descriptor, error) {
	size, known := a.sizes[name]
	if !known {
		var err error
		if size, err = a.uncompressedSize(ctx, name); err != nil {
			return v1.Descriptor{}, err
		}
		a.sizes[name] = size
	}
	a.path[diff] = name
	return v1.Descriptor{Digest: diff, Size: size}, nil
}

// uncompressedSize is known without reading the member when it is not compressed, which is the rule.
func (a *dockerArchive) uncompressedSize(ctx context.Context, name string) (int64, error) {
	rc, size, err := a.files.open(name)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	plain, compression, err := archive.DecompressWithin(contextReader{ctx, rc}, a.limits)
	if err != nil || compression == archive.None {
		return size, err
	}
	n, err := io.Copy(io.Discard, plain)
	return n, errors.Join(err, plain.Close())
}

// Images implements Source.
func (a *dockerArchive) Images(context.Context) ([]Entry, error) { return a.list.entries, nil }

// Blob implements Source. Layers come out uncompressed, as the manifest says.
func (a *dockerArchive) Blob(_ context.Context, desc v1.Descriptor) (io.ReadCloser, error) {
	if data, ok := a.made[desc.Digest]; ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	name, ok := a.path[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s is not in the archive: %w", desc.Digest, errdefs.ErrNotFound)
	}
	rc, _, err := a.files.open(name)
	if err != nil {
		return nil, err
	}
	plain, _, err := archive.Decompress(rc)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("layer %s: %w", name, err), rc.Close())
	}
	return plain, nil
}

// Close implements Source.
func (a *dockerArchive) Close() error { return a.files.Close() }

// diffIDs reads the list of a configuration and checks its form.
func diffIDs(config []byte) ([]digest.Digest, error) {
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := validDescriptor(v1.Descriptor{Digest: d}); err != nil {
			return nil, fmt.Errorf("configuration: diff ID: %w", err)
		}
	}
	return c.RootFS.DiffIDs, nil
}
