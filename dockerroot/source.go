package dockerroot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/oci"
)

// source is one image of the data root for oci.Load. Its documents are made when
// it is, so it is safe for concurrent use.
type source struct {
	root  *Root
	entry oci.Entry
	// documents are the manifest and the configuration, layers what can be put together.
	documents map[digest.Digest][]byte
	layers    map[digest.Digest]*layerEntry
	// packed are new tars of layers whose own are lost.
	packed map[digest.Digest]opener
}

var _ oci.Source = (*source)(nil)

// Source gives one image to read, as oci.Load does. The manifest is made, with
// uncompressed layers; the configuration is Docker's, byte for byte. A layer is
// put together from its files while it is read, and each file compared with its
// check value; whoever reads it has to compare the whole with the diff ID.
//
// The image is one of Images or Find; its Err is returned. The Root must stay
// open as long as the source is used.
func (r *Root) Source(ctx context.Context, id digest.Digest) (oci.Source, error) {
	i := slices.IndexFunc(r.images, func(img imageEntry) bool { return img.id == id })
	if i < 0 {
		return nil, fmt.Errorf("image %s: %w", id, errdefs.ErrNotFound)
	}
	img := &r.images[i]
	if img.err != nil {
		return nil, img.err
	}
	s := &source{root: r, documents: map[digest.Digest][]byte{}, layers: map[digest.Digest]*layerEntry{}}
	return s, s.describe(ctx, img)
}

// describe makes the documents.
func (s *source) describe(ctx context.Context, img *imageEntry) error {
	layers := make([]v1.Descriptor, 0, len(img.layers))
	for _, l := range img.layers {
		size, err := s.root.splitSize(ctx, l.split)
		if err != nil {
			return &layerError{l.chain, err}
		}
		s.layers[digest.Digest(l.diff)] = l
		layers = append(layers, v1.Descriptor{Digest: digest.Digest(l.diff), Size: size})
	}
	manifest, desc, err := oci.UncompressedManifest(img.config, layers)
	if err != nil {
		return err
	}
	s.documents[img.id], s.documents[desc.Digest] = img.config, manifest
	s.entry = oci.Entry{Descriptor: desc, Names: img.names}
	return nil
}

// Images implements oci.Source.
func (s *source) Images(context.Context) ([]oci.Entry, error) { return []oci.Entry{s.entry}, nil }

// Close implements oci.Source; nothing is held open.
func (s *source) Close() error { return nil }

// Blob implements oci.Source.
func (s *source) Blob(ctx context.Context, desc v1.Descriptor) (io.ReadCloser, error) {
	if data, ok := s.documents[desc.Digest]; ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	if open, ok := s.packed[desc.Digest]; ok {
		return open(ctx)
	}
	l, ok := s.layers[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	rc, err := s.root.openLayer(ctx, l)
	if err != nil {
		return nil, &layerError{l.chain, err}
	}
	return rc, nil
}

// assembled is a layer's tar on its way; closing it early ends the work.
type assembled struct {
	*io.PipeReader
	stop context.CancelFunc
	done chan struct{}
}

func (a *assembled) Close() error {
	a.stop()
	err := a.PipeReader.Close()
	<-a.done
	return err
}

func (r *Root) openLayer(ctx context.Context, l *layerEntry) (io.ReadCloser, error) {
	files, err := r.openFiles(l)
	if err != nil {
		return nil, err
	}
	split, err := r.openSplit(l.split)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	a := &assembled{PipeReader: pr, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		err := archive.Assemble(ctx, pw, split, files)
		pw.CloseWithError(errors.Join(err, files.Close(), split.Close()))
	}()
	return a, nil
}

// openFiles opens a layer's folder. It is found by descriptors, so that no link
// leads out of the data root, and handed over by the one that was found.
func (r *Root) openFiles(l *layerEntry) (archive.FileGetCloser, error) {
	name := r.layerFolder(l)
	dir, err := r.dir.Dir(name)
	if err != nil {
		return nil, fmt.Errorf("the layer's files: %w", required(explain(name, err)))
	}
	defer dir.Release()
	return archive.OpenFiles("/proc/self/fd/" + strconv.Itoa(dir.FD()))
}

// openSplit opens a tar-split for reading its lines.
func (r *Root) openSplit(name string) (io.ReadCloser, error) {
	f, _, err := r.openRegular(name)
	if err != nil {
		return nil, fmt.Errorf("the original tar can't be put together: %w", required(err))
	}
	lines, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tar-split: %w: %w", err, errdefs.ErrCorrupt), f.Close())
	}
	return &split{lines, f}, nil
}

// split is an open tar-split.
type split struct {
	lines *gzip.Reader
	file  io.Closer
}

func (s *split) Read(p []byte) (int, error) {
	n, err := s.lines.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("tar-split: %w: %w", err, errdefs.ErrCorrupt)
	}
	return n, err
}

func (s *split) Close() error { return errors.Join(s.lines.Close(), s.file.Close()) }
