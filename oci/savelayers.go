package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

// saver writes plans to a sink.
type saver struct {
	store    Store
	to       sink
	opts     SaveOptions
	progress Progress
	// blobs remembers the descriptor of each diff that was written, for layers that images share.
	blobs map[layer.DiffID]v1.Descriptor
}

// layout writes an OCI image layout (image-layout.md).
func (s *saver) layout(ctx context.Context, plans []plan) error {
	index, err := s.oldIndex()
	if err != nil {
		return err
	}
	for _, p := range plans {
		descs, err := s.ociImage(ctx, p)
		if err != nil {
			return fmt.Errorf("save image %s: %w", p.image.ID, err)
		}
		index.Manifests = addManifests(index.Manifests, descs)
	}
	marker, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if err := s.file(v1.ImageLayoutFile, marker); err != nil {
		return err
	}
	return s.file(v1.ImageIndexFile, text)
}

// oldIndex is the index of a layout that is added to, else an empty one.
func (s *saver) oldIndex() (index v1.Index, err error) {
	index = v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	d, ok := s.to.(*dirSink)
	if !ok || d.fresh {
		return index, nil
	}
	src, err := OpenLayout(d.root)
	if err != nil {
		return index, nil // newDirSink has checked: the directory is empty
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	text, err := readFile(src.(*layout).files, v1.ImageIndexFile) //nolint:forcetypeassert // OpenLayout makes no other
	if err != nil {
		return index, err
	}
	return index, json.Unmarshal(text, &index)
}

// addManifests replaces entries of the same name or the same nameless digest.
func addManifests(list, add []v1.Descriptor) []v1.Descriptor {
	for _, d := range add {
		name := d.Annotations[v1.AnnotationRefName]
		list = slices.DeleteFunc(list, func(o v1.Descriptor) bool {
			return o.Annotations[v1.AnnotationRefName] == name && (name != "" || o.Digest == d.Digest)
		})
		list = append(list, d)
	}
	return list
}

// ociImage writes an image's blobs and returns its descriptors, one for each name.
func (s *saver) ociImage(ctx context.Context, p plan) ([]v1.Descriptor, error) {
	m := manifest{SchemaVersion: 2, MediaType: v1.MediaTypeImageManifest, Config: blobDescriptor(v1.MediaTypeImageConfig, p.config), Layers: []v1.Descriptor{}}
	for _, l := range p.layers {
		desc, err := s.layer(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.ID, err)
		}
		m.Layers = append(m.Layers, desc)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	desc := blobDescriptor(v1.MediaTypeImageManifest, text)
	desc.Platform = configPlatform(p.config)
	if err := errors.Join(s.blob(m.Config, p.config), s.blob(desc, text)); err != nil {
		return nil, err
	}
	if len(p.names) == 0 {
		return []v1.Descriptor{desc}, nil
	}
	var list []v1.Descriptor
	for _, name := range p.names {
		named := desc
		named.Annotations = map[string]string{v1.AnnotationRefName: name}
		list = append(list, named)
	}
	return list, nil
}

func configPlatform(config []byte) *v1.Platform {
	var p v1.Platform
	if json.Unmarshal(config, &p) != nil || p.OS == "" || p.Architecture == "" {
		return nil
	}
	return &p
}

func (s *saver) file(name string, data []byte) error {
	return s.to.put(name, int64(len(data)), bytes.NewReader(data))
}

func (s *saver) blob(desc v1.Descriptor, data []byte) error {
	if name := blobPath(desc); !s.to.has(name, desc.Size) {
		return s.file(name, data)
	}
	return nil
}

// layer writes one layer's blob, once.
func (s *saver) layer(ctx context.Context, l layer.Layer) (v1.Descriptor, error) {
	if desc, ok := s.blobs[l.DiffID]; ok {
		return desc, nil
	}
	task := s.progress.Start("layer "+short(string(l.DiffID)), l.DiffSize)
	write := s.spooled
	if s.opts.Compression == archive.None {
		write = s.streamed
	}
	desc, err := write(ctx, l, task)
	if err != nil {
		task.Done("failed")
		return desc, err
	}
	task.Done("done")
	if s.blobs == nil {
		s.blobs = map[layer.DiffID]v1.Descriptor{}
	}
	s.blobs[l.DiffID] = desc
	return desc, nil
}

// diff opens the layer's uncompressed tar; reading it to its end checks the diff ID.
func (s *saver) diff(ctx context.Context, l layer.Layer, task Task) (io.ReadCloser, error) {
	rc, err := s.store.Diff(ctx, string(l.ID), "", strata.DiffOptions{Compression: strata.CompressionNone})
	if err != nil {
		return nil, err
	}
	return verified{Reader: counted{rc, task}, Closer: rc, want: digest.Digest(l.DiffID), sum: digest.SHA256.Digester()}, nil
}

// streamed writes an uncompressed layer, whose digest and size are on record.
func (s *saver) streamed(ctx context.Context, l layer.Layer, task Task) (v1.Descriptor, error) {
	desc := v1.Descriptor{MediaType: layerMediaType(archive.None), Digest: digest.Digest(l.DiffID), Size: l.DiffSize}
	name := blobPath(desc)
	if s.opts.Format == DockerArchive {
		name = dockerLayerName(l)
	}
	if s.to.has(name, desc.Size) {
		return desc, nil
	}
	rc, err := s.diff(ctx, l, task)
	if err != nil {
		return desc, err
	}
	return desc, errors.Join(s.to.put(name, desc.Size, rc), rc.Close())
}

// spooled compresses a layer to an unnamed file first: a tar needs the size and
// a layout the digest before the bytes.
func (s *saver) spooled(ctx context.Context, l layer.Layer, task Task) (desc v1.Descriptor, err error) {
	spool, err := unnamedFile(s.opts.TempDir)
	if err != nil {
		return desc, err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	rc, err := s.diff(ctx, l, task)
	if err != nil {
		return desc, err
	}
	defer func() { err = errors.Join(err, rc.Close()) }()
	sum := digest.SHA256.Digester()
	zw, err := archive.Compress(io.MultiWriter(spool, sum.Hash()), s.opts.Compression)
	if err != nil {
		return desc, err
	}
	if _, err := io.Copy(zw, rc); err != nil {
		return desc, errors.Join(err, zw.Close())
	}
	if err := zw.Close(); err != nil {
		return desc, err
	}
	size, err := spool.Seek(0, io.SeekEnd)
	if err != nil {
		return desc, err
	}
	desc = v1.Descriptor{MediaType: layerMediaType(s.opts.Compression), Digest: sum.Digest(), Size: size}
	if s.to.has(blobPath(desc), size) {
		return desc, nil
	}
	return desc, s.to.put(blobPath(desc), size, io.NewSectionReader(spool, 0, size))
}

// verified turns the end of a stream with the wrong digest into an error.
type verified struct {
	io.Reader
	io.Closer
	want digest.Digest
	sum  digest.Digester
}

func (v verified) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	v.sum.Hash().Write(p[:n])
	if errors.Is(err, io.EOF) && v.sum.Digest() != v.want {
		return n, fmt.Errorf("the stored files give the digest %s instead of %s: files in the store were changed: %w", v.sum.Digest(), v.want, errdefs.ErrCorrupt)
	}
	return n, err
}
