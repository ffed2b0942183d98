package oci

import (
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/archive"
)

// Media types of Docker's image format, schema 2 (distribution, "Image Manifest
// Version 2, Schema 2").
const (
	dockerManifest   = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList       = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig     = "application/vnd.docker.container.image.v1+json"
	dockerLayer      = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzip  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	dockerLayerZstd  = "application/vnd.docker.image.rootfs.diff.tar.zstd"
	dockerForeign    = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	dockerSchema1    = "application/vnd.docker.distribution.manifest.v1+json"
	dockerSchema1JWS = "application/vnd.docker.distribution.manifest.v1+prettyjws"
)

func isIndex(mediaType string) bool {
	return mediaType == v1.MediaTypeImageIndex || mediaType == dockerList
}

func isManifest(mediaType string) bool {
	return mediaType == v1.MediaTypeImageManifest || mediaType == dockerManifest
}

// layerMediaType is the OCI media type of a layer with the given compression.
func layerMediaType(c archive.Compression) string {
	switch c {
	case archive.Gzip:
		return v1.MediaTypeImageLayerGzip
	case archive.Zstd:
		return v1.MediaTypeImageLayerZstd
	default:
		return v1.MediaTypeImageLayer
	}
}

// isLayer reports whether a manifest's layer is a file system change set that can be unpacked.
func isLayer(mediaType string) bool {
	switch mediaType {
	case v1.MediaTypeImageLayer, v1.MediaTypeImageLayerGzip, v1.MediaTypeImageLayerZstd,
		//nolint:staticcheck // deprecated by the specification, still met in images
		v1.MediaTypeImageLayerNonDistributable, v1.MediaTypeImageLayerNonDistributableGzip, v1.MediaTypeImageLayerNonDistributableZstd,
		dockerLayer, dockerLayerGzip, dockerLayerZstd, dockerForeign:
		return true
	}
	return false
}

// manifest is an OCI image manifest or a Docker one: the same members, with the
// media type at the place where Docker's schema has it.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        v1.Descriptor     `json:"config"`
	Layers        []v1.Descriptor   `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// blobDescriptor describes data.
func blobDescriptor(mediaType string, data []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
