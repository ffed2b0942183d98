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

// dockerArchive is a Source over a docker-archive. Such an archive has no
// manifests; they are made here, with uncompressed layers named by their diff
// IDs, as the other engines do.
type dockerArchive struct {
	files files
	items []dockerItem
	// made holds the manifests and configurations by digest, path the layers' members.
	made  map[digest.Digest][]byte
	path  map[digest.Digest]string
	index []Entry
}

func openDockerArchive(f files) (Source, error) {
	text, err := readFile(f, dockerIndex)
	if err != nil {
		return nil, err
	}
	a := &dockerArchive{files: f, made: map[digest.Digest][]byte{}, path: map[digest.Digest]string{}}
	if err := json.Unmarshal(text, &a.items); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dockerIndex, err, errdefs.ErrCorrupt)
	}
	for _, item := range a.items {
		if err := a.add(item); err != nil {
			return nil, fmt.Errorf("image %s: %w", item.Config, err)
		}
	}
	return a, nil
}

// add makes the manifest of one image.
func (a *dockerArchive) add(item dockerItem) error {
	config, err := readFile(a.files, item.Config)
	if err != nil {
		return err
	}
	diffs, err := diffIDs(config)
	if err != nil {
		return err
	}
	if len(diffs) != len(item.Layers) {
		return fmt.Errorf("%d layers, but %d diff IDs in the configuration: %w", len(item.Layers), len(diffs), errdefs.ErrCorrupt)
	}
	a.made[digest.FromBytes(config)] = config
	layers := make([]v1.Descriptor, len(diffs))
	for i, name := range item.Layers {
		if layers[i], err = a.layer(name, diffs[i]); err != nil {
			return err
		}
	}
	text, desc, err := UncompressedManifest(config, layers)
	if err != nil {
		return err
	}
	a.made[desc.Digest] = text
	entry := Entry{Descriptor: desc}
	for _, tag := range item.RepoTags {
		full, err := RegistryName(tag)
		if err != nil {
			return err
		}
		entry.Names = append(entry.Names, full)
	}
	a.index = append(a.index, entry)
	return nil
}

// layer describes one layer member. Its uncompressed length is only known without
// reading it when it is not compressed, which is the rule.
func (a *dockerArchive) layer(name string, diff digest.Digest) (v1.Descriptor, error) {
	rc, size, err := a.files.open(name)
	if errors.Is(err, errdefs.ErrNotFound) || err != nil {
		return v1.Descriptor{}, fmt.Errorf("layer %s: %w", name, err)
	}
	defer rc.Close()
	head := make([]byte, 8)
	n, err := io.ReadFull(rc, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return v1.Descriptor{}, fmt.Errorf("layer %s: %w", name, err)
	}
	if archive.Detect(head[:n]) != archive.None {
		if size, err = a.uncompressedSize(name); err != nil {
			return v1.Descriptor{}, fmt.Errorf("layer %s: %w", name, err)
		}
	}
	a.path[diff] = name
	return v1.Descriptor{Digest: diff, Size: size}, nil
}

func (a *dockerArchive) uncompressedSize(name string) (int64, error) {
	rc, _, err := a.files.open(name)
	if err != nil {
		return 0, err
	}
	defer rc.Close()
	plain, _, err := archive.Decompress(rc)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, plain)
	return n, errors.Join(err, plain.Close())
}

// Images implements Source.
func (a *dockerArchive) Images(context.Context) ([]Entry, error) { return a.index, nil }

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
