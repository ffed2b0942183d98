package image_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
)

func TestManifestDigest(t *testing.T) {
	const payload = `{
   "schemaVersion": 1,
   "name": "x"
}`
	enc := base64.RawURLEncoding
	sign := func(length int, tail string) string {
		protected := fmt.Sprintf(`{"formatLength":%d,"formatTail":"%s"}`, length, tail)
		return payload[:len(payload)-2] + `,"signatures":[{"protected":"` + enc.EncodeToString([]byte(protected)) + `"}]}`
	}
	good := sign(len(payload)-2, enc.EncodeToString([]byte("\n}")))
	tests := []struct {
		name, manifest string
		want           digest.Digest // "" is an error
	}{
		{"OCI", `{"schemaVersion":2}`, digest.FromString(`{"schemaVersion":2}`)},
		{"unsigned schema 1", payload, digest.FromString(payload)},
		{"signed schema 1", good, digest.FromString(payload)},
		{"no JSON", "hello", digest.FromString("hello")},
		{"signatures in schema 2", `{"schemaVersion":2,"signatures":[{}]}`, digest.FromString(`{"schemaVersion":2,"signatures":[{}]}`)},
		{"length past the end", sign(1<<30, ""), ""},
		{"negative length", sign(-1, ""), ""},
		{"bad tail", sign(1, "!"), ""},
		{"bad header", `{"schemaVersion":1,"signatures":[{"protected":"!"}]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := image.ManifestDigest([]byte(tt.manifest))
			if tt.want == "" {
				if !errors.Is(err, errdefs.ErrInvalid) {
					t.Fatalf("error = %v, want ErrInvalid", err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Fatalf("digest %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func FuzzManifestDigest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":1,"signatures":[{"protected":"eyJmb3JtYXRMZW5ndGgiOjEsImZvcm1hdFRhaWwiOiJDbjAifQ"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := image.ManifestDigest(data); err == nil && d.Validate() != nil {
			t.Fatalf("digest %q of %q", d, data)
		}
	})
}
