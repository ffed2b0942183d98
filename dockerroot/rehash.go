package dockerroot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

// rehashed is the source of an image with a new tar for each layer whose own can not be put
// together any more, and the chain IDs of these layers as Docker has them. An image that is whole
// has none, and its own source. Every layer is read once to find out.
func (r *Root) rehashed(ctx context.Context, id digest.Digest) (oci.Source, []layer.ChainID, error) {
	i := slices.IndexFunc(r.images, func(img imageEntry) bool { return img.id == id })
	if i < 0 || r.images[i].err != nil {
		src, err := r.Source(ctx, id) // which has the reason
		return src, nil, err
	}
	img := &r.images[i]
	b := &rebuild{source: source{
		root: r, documents: map[digest.Digest][]byte{}, layers: map[digest.Digest]*layerEntry{}, packed: map[digest.Digest]opener{},
	}}
	for n := range img.layers {
		if err := b.layer(ctx, img.layers[n], img.layers[:n]); err != nil {
			return nil, nil, &layerError{img.layers[n].chain, err}
		}
	}
	if len(b.lost) == 0 {
		src, err := r.Source(ctx, id)
		return src, nil, err
	}
	return &b.source, b.lost, b.describe(img)
}

// opener opens a layer's tar.
type opener func(ctx context.Context) (io.ReadCloser, error)

// rebuild is a source on its way.
type rebuild struct {
	source
	lost        []layer.ChainID
	descriptors []v1.Descriptor
}

// layer decides which tar the layer on top of those below gets.
func (b *rebuild) layer(ctx context.Context, l *layerEntry, below []*layerEntry) error {
	size, got, err := measure(ctx, func(ctx context.Context) (io.ReadCloser, error) { return b.root.openLayer(ctx, l) })
	switch {
	case err == nil && got == digest.Digest(l.diff):
		b.layers[got] = l
		b.descriptors = append(b.descriptors, v1.Descriptor{Digest: got, Size: size})
		return nil
	case err != nil && !errors.Is(err, errdefs.ErrCorrupt):
		return err
	}
	if err := b.root.canPack(); err != nil {
		return err
	}
	pack := func(ctx context.Context) (io.ReadCloser, error) { return b.root.pack(ctx, l, below) }
	if size, got, err = measure(ctx, pack); err != nil {
		return err
	}
	b.packed[got] = pack
	b.descriptors = append(b.descriptors, v1.Descriptor{Digest: got, Size: size})
	b.lost = append(b.lost, l.chain)
	return nil
}

// measure reads a tar to its end.
func measure(ctx context.Context, open opener) (size int64, sum digest.Digest, err error) {
	rc, err := open(ctx)
	if err != nil {
		return 0, "", err
	}
	hash := digest.SHA256.Digester()
	size, err = io.Copy(hash.Hash(), rc)
	return size, hash.Digest(), errors.Join(err, rc.Close())
}

// describe makes the documents: the configuration with the new diff IDs, all else as it was.
func (b *rebuild) describe(img *imageEntry) error {
	diffs := make([]digest.Digest, 0, len(b.descriptors))
	for _, d := range b.descriptors {
		diffs = append(diffs, d.Digest)
	}
	config, err := withDiffs(img.config, diffs)
	if err != nil {
		return err
	}
	manifest, desc, err := oci.UncompressedManifest(config, b.descriptors)
	if err != nil {
		return err
	}
	b.documents[digest.FromBytes(config)], b.documents[desc.Digest] = config, manifest
	b.entry = oci.Entry{Descriptor: desc, Names: img.names}
	return nil
}

// withDiffs is a configuration with other layers.
func withDiffs(config []byte, diffs []digest.Digest) ([]byte, error) {
	var whole, rootfs map[string]json.RawMessage
	if err := json.Unmarshal(config, &whole); err != nil {
		return nil, fmt.Errorf("the image's configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	if err := json.Unmarshal(whole["rootfs"], &rootfs); err != nil {
		return nil, fmt.Errorf("the image's configuration: rootfs: %w: %w", err, errdefs.ErrCorrupt)
	}
	var err error
	if rootfs["diff_ids"], err = json.Marshal(diffs); err != nil {
		return nil, err
	}
	if whole["rootfs"], err = json.Marshal(rootfs); err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}

// canPack refuses layers whose folders do not say what was in the tar.
func (r *Root) canPack() error {
	switch {
	case r.base != "." || remapped.MatchString(filepath.Base(r.path)):
		return fmt.Errorf("no new tar of its files: their owners are shifted for remapped users: %w", errdefs.ErrUnsupported)
	case r.driver != "overlay2" && r.driver != "vfs":
		return fmt.Errorf("no new tar of its files: not with the graph driver %s: %w", r.driver, errdefs.ErrUnsupported)
	}
	return nil
}

// pack makes a tar of a layer's folder, as Docker would export it: the same each time.
func (r *Root) pack(ctx context.Context, l *layerEntry, below []*layerEntry) (io.ReadCloser, error) {
	var held held
	dir, err := held.open(r, l)
	var lowers []string
	for i := len(below) - 1; i >= 0 && err == nil; i-- {
		var lower string
		lower, err = held.open(r, below[i])
		lowers = append(lowers, lower)
	}
	if err != nil {
		held.release()
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	a := &assembled{PipeReader: pr, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer held.release()
		pw.CloseWithError(packFolder(ctx, pw, r.driver, dir, lowers))
	}()
	return a, nil
}

func packFolder(ctx context.Context, w io.Writer, driver, dir string, lowers []string) error {
	switch {
	case driver != "vfs":
		return archive.Pack(ctx, w, dir, archive.PackOptions{Whiteouts: archive.WhiteoutTrusted, Lowers: lowers})
	case len(lowers) == 0:
		return archive.Pack(ctx, w, dir, archive.PackOptions{})
	}
	changes, err := archive.Compare(ctx, dir, lowers[0], archive.CompareOptions{})
	if err != nil {
		return err
	}
	return archive.PackChanges(ctx, w, dir, changes, archive.PackOptions{})
}

// held are folders that are open, so that no link leads out of the data root.
type held []*rootfd.Dir

// open returns the path of a layer's folder, good until release.
func (h *held) open(r *Root, l *layerEntry) (string, error) {
	name := r.layerFolder(l)
	dir, err := r.dir.Dir(name)
	if err != nil {
		return "", fmt.Errorf("the layer's files: %w", required(explain(name, err)))
	}
	*h = append(*h, dir)
	return "/proc/self/fd/" + strconv.Itoa(dir.FD()) + "/.", nil
}

func (h held) release() {
	for _, dir := range h {
		dir.Release()
	}
}
