package image

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
)

// ManifestDigest returns the digest by which registries know a manifest: SHA-256
// of its bytes, or, for a signed manifest of schema 1, of the bytes that were
// signed (JSON Web Signature in the flattened form of Docker's registry
// specification: the last formatLength bytes are replaced by formatTail).
func ManifestDigest(manifest []byte) (digest.Digest, error) {
	var head struct {
		SchemaVersion int `json:"schemaVersion"`
		Signatures    []struct {
			Protected string `json:"protected"`
		} `json:"signatures"`
	}
	signed := json.Unmarshal(manifest, &head) == nil && head.SchemaVersion == 1 && len(head.Signatures) > 0
	if !signed {
		return digest.FromBytes(manifest), nil
	}
	payload, err := signedPayload(manifest, head.Signatures[0].Protected)
	if err != nil {
		return "", fmt.Errorf("digest of signed manifest: %w", err)
	}
	return digest.FromBytes(payload), nil
}

func signedPayload(manifest []byte, protected string) ([]byte, error) {
	raw, err := unbase64url(protected)
	if err != nil {
		return nil, err
	}
	var header struct {
		FormatLength int    `json:"formatLength"`
		FormatTail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		return nil, fmt.Errorf("protected header: %w: %w", err, errdefs.ErrInvalid)
	}
	tail, err := unbase64url(header.FormatTail)
	if err != nil {
		return nil, err
	}
	if header.FormatLength < 0 || header.FormatLength > len(manifest) {
		return nil, fmt.Errorf("format length %d of %d bytes: %w", header.FormatLength, len(manifest), errdefs.ErrInvalid)
	}
	return append(bytes.Clone(manifest[:header.FormatLength]), tail...), nil
}

func unbase64url(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalid)
	}
	return b, nil
}
