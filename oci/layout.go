package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// annotationContainerdName is where containerd and Docker put the full name of an
// image in an index; the standard annotation then only holds the tag.
const annotationContainerdName = "io.containerd.image.name"

// files opens the files of a layout, from a directory or a tar, by slash-separated names.
type files interface {
	open(name string) (io.ReadCloser, int64, error)
	io.Closer
}

// dirFiles is a directory, pinned by os.Root: links can't lead out of it.
type dirFiles struct{ root *os.Root }

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO does not block
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: %w", name, errdefs.ErrInvalid)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func (d dirFiles) Close() error { return d.root.Close() }

// layout is a Source over an OCI image layout (OCI image spec, image-layout.md).
type layout struct{ files files }

// OpenLayout opens the OCI image layout in a directory.
func OpenLayout(dir string) (Source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	src, err := newLayout(dirFiles{root})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, errors.Join(err, root.Close()))
	}
	return src, nil
}

func newLayout(f files) (Source, error) {
	text, err := readFile(f, v1.ImageLayoutFile)
	if err != nil {
		return nil, fmt.Errorf("not an OCI image layout: %w", err)
	}
	var marker v1.ImageLayout
	if err := json.Unmarshal(text, &marker); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", v1.ImageLayoutFile, err, errdefs.ErrCorrupt)
	}
	if marker.Version != v1.ImageLayoutVersion {
		return nil, fmt.Errorf("image layout version %q: %w", marker.Version, errdefs.ErrUnsupported)
	}
	return &layout{files: f}, nil
}

// readFile reads one small file of a layout.
func readFile(f files, name string) ([]byte, error) {
	rc, size, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	if size > maxJSON {
		return nil, fmt.Errorf("%s has %d bytes: %w", name, size, errdefs.ErrLimit)
	}
	return io.ReadAll(io.LimitReader(rc, maxJSON))
}

// Images implements Source: the manifests of index.json.
func (l *layout) Images(context.Context) ([]Entry, error) {
	text, err := readFile(l.files, v1.ImageIndexFile)
	if err != nil {
		return nil, err
	}
	var idx v1.Index
	if err := json.Unmarshal(text, &idx); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", v1.ImageIndexFile, err, errdefs.ErrCorrupt)
	}
	if err := tooMany(v1.ImageIndexFile, len(idx.Manifests)); err != nil {
		return nil, err
	}
	var list entryList
	for _, d := range idx.Manifests {
		list.add(Entry{Descriptor: d, Names: annotatedNames(d.Annotations)})
	}
	return list.entries, nil
}

// entryList has one entry for each digest, under all of its names.
type entryList struct {
	entries []Entry
	at      map[digest.Digest]int
}

// add appends e, or gives its names to the earlier entry with the same digest.
func (l *entryList) add(e Entry) {
	if l.at == nil {
		l.at = map[digest.Digest]int{}
	}
	if i, ok := l.at[e.Descriptor.Digest]; ok {
		l.entries[i].Names = append(l.entries[i].Names, e.Names...)
		return
	}
	l.at[e.Descriptor.Digest] = len(l.entries)
	l.entries = append(l.entries, e)
}

// annotatedNames returns the name in a descriptor's annotations, normalised; none
// if it is no reference.
func annotatedNames(a map[string]string) []string {
	if len(a) == 0 {
		return nil
	}
	if full, err := RegistryName(a[annotationContainerdName]); err == nil {
		return []string{full}
	}
	if full, err := LocalName(a[v1.AnnotationRefName]); err == nil {
		return []string{full}
	}
	return nil
}

// Blob implements Source.
func (l *layout) Blob(_ context.Context, desc v1.Descriptor) (io.ReadCloser, error) {
	if err := validDescriptor(desc); err != nil {
		return nil, err
	}
	rc, size, err := l.files.open(blobPath(desc))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing: %w: %w", desc.Digest, err, errdefs.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, err)
	}
	if size != desc.Size {
		err := fmt.Errorf("blob %s has %d bytes, its descriptor says %d: %w", desc.Digest, size, desc.Size, errdefs.ErrCorrupt)
		return nil, errors.Join(err, rc.Close())
	}
	return rc, nil
}

// blobPath is a blob's place in a layout. The descriptor has been validated.
func blobPath(desc v1.Descriptor) string {
	return path.Join(v1.ImageBlobsDir, desc.Digest.Algorithm().String(), desc.Digest.Encoded())
}

// Close implements Source.
func (l *layout) Close() error { return l.files.Close() }
