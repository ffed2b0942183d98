package oci

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

// maxJSON caps an index, manifest or configuration; registries allow 4 MiB.
const maxJSON = 8 << 20

// maxImages caps the images of one source, and the platforms of one image.
const maxImages = 10_000

// tooMany refuses a longer list.
func tooMany(what string, n int) error {
	if n > maxImages {
		return fmt.Errorf("%s lists %d images, at most %d are read: %w", what, n, maxImages, errdefs.ErrLimit)
	}
	return nil
}

// Source is where images come from. It is safe for concurrent use until Close.
type Source interface {
	// Images lists what the source holds, in its own order.
	Images(ctx context.Context) ([]Entry, error)
	// Blob opens a blob from its start. The bytes are not verified yet.
	Blob(ctx context.Context, desc v1.Descriptor) (io.ReadCloser, error)
	// Close releases what the source holds open.
	Close() error
}

// Entry is one image of a source: a manifest, or an index of manifests for
// several platforms, under names.
type Entry struct {
	// Descriptor names the manifest or index.
	Descriptor v1.Descriptor
	// Names are the references that the source gives, normalised; there may be none.
	Names []string
}

// readJSON returns a small blob after checking its size and digest.
func readJSON(ctx context.Context, src Source, desc v1.Descriptor) ([]byte, error) {
	if err := validDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size > maxJSON {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read: %w", desc.Digest, desc.Size, int64(maxJSON), errdefs.ErrLimit)
	}
	rc, err := src.Blob(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	data, err := io.ReadAll(io.LimitReader(rc, desc.Size+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if int64(len(data)) != desc.Size {
		return nil, fmt.Errorf("blob %s has not the %d bytes of its descriptor: %w", desc.Digest, desc.Size, errdefs.ErrCorrupt)
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return nil, fmt.Errorf("blob %s has the digest %s: %w", desc.Digest, got, errdefs.ErrCorrupt)
	}
	return data, nil
}

// validDescriptor refuses digests that must not become paths, and impossible sizes.
func validDescriptor(desc v1.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w: %w", desc.Digest, err, errdefs.ErrInvalid)
	}
	if desc.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %s: only sha256 is known to the stores on disk: %w", desc.Digest, errdefs.ErrUnsupported)
	}
	if desc.Size < 0 {
		return fmt.Errorf("blob %s: size %d: %w", desc.Digest, desc.Size, errdefs.ErrInvalid)
	}
	return nil
}
