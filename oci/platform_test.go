package oci

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

func TestPick(t *testing.T) {
	at := func(platform string) v1.Descriptor {
		d := v1.Descriptor{Digest: digest.FromString(platform)}
		if platform != "" {
			p, err := ParsePlatform(platform)
			if err != nil {
				t.Fatal(err)
			}
			d.Platform = &p
		}
		return d
	}
	tests := []struct {
		name string
		have []string
		want string
		pick string
		err  error
	}{
		{"exact", []string{"linux/arm64", "linux/amd64"}, "linux/amd64", "linux/amd64", nil},
		{"variant", []string{"linux/arm", "linux/arm/v6", "linux/arm/v7"}, "linux/arm/v7", "linux/arm/v7", nil},
		{"without variant rather than another", []string{"linux/arm/v6", "linux/arm"}, "linux/arm/v7", "linux/arm", nil},
		{"any variant when none is asked for", []string{"linux/arm/v6"}, "linux/arm", "linux/arm/v6", nil},
		{"other variant only", []string{"linux/arm/v6"}, "linux/arm/v7", "", errdefs.ErrNotFound},
		{"other system", []string{"windows/amd64"}, "linux/amd64", "", errdefs.ErrNotFound},
		{"single without platform", []string{""}, "linux/amd64", "", nil},
		{"two without platform", []string{"", ""}, "linux/amd64", "", errdefs.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var idx v1.Index
			for _, p := range tt.have {
				idx.Manifests = append(idx.Manifests, at(p))
			}
			text, err := json.Marshal(idx)
			if err != nil {
				t.Fatal(err)
			}
			want, err := ParsePlatform(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pick(text, want)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error = %v, want %v", err, tt.err)
			}
			if err == nil && got.Digest != digest.FromString(tt.pick) {
				t.Errorf("picked %+v, want %q", got.Platform, tt.pick)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	tests := []struct {
		name, mediaType, text, want string
		err                         error
	}{
		{"own media type", "", `{"mediaType":"` + v1.MediaTypeImageManifest + `","config":{},"layers":[]}`, v1.MediaTypeImageManifest, nil},
		{"descriptor's", dockerManifest, `{"config":{},"layers":[]}`, dockerManifest, nil},
		{"by members: index", "", `{"manifests":[]}`, v1.MediaTypeImageIndex, nil},
		{"by members: manifest", "", `{"config":{}}`, v1.MediaTypeImageManifest, nil},
		{"both at once", v1.MediaTypeImageManifest, `{"config":{},"manifests":[]}`, "", errdefs.ErrInvalid},
		{"index with layers", v1.MediaTypeImageIndex, `{"manifests":[],"layers":[]}`, "", errdefs.ErrInvalid},
		{"schema 1", dockerSchema1JWS, `{}`, "", errdefs.ErrUnsupported},
		{"unknown", "text/plain", `{}`, "", errdefs.ErrUnsupported},
		{"no JSON", "", `{`, "", errdefs.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sniff(v1.Descriptor{MediaType: tt.mediaType}, []byte(tt.text))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatalf("sniff = %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	tests := []struct{ in, local, registry string }{
		{"app", "localhost/app:latest", "docker.io/library/app:latest"},
		{"app:1", "localhost/app:1", "docker.io/library/app:1"},
		{"team/app", "localhost/team/app:latest", "docker.io/team/app:latest"},
		{"localhost/app", "localhost/app:latest", "localhost/app:latest"},
		{"quay.io/a/b:2", "quay.io/a/b:2", "quay.io/a/b:2"},
		{"reg:5000/a", "reg:5000/a:latest", "reg:5000/a:latest"},
		{"UPPER", "", ""},
		{"", "", ""},
		{"a b", "", ""},
	}
	for _, tt := range tests {
		for _, c := range []struct {
			name      string
			normalise func(string) (string, error)
			want      string
		}{{"local", LocalName, tt.local}, {"registry", RegistryName, tt.registry}} {
			got, err := c.normalise(tt.in)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%s name of %q = %q, %v; want %q", c.name, tt.in, got, err, c.want)
			}
			if err != nil && !errors.Is(err, errdefs.ErrInvalid) {
				t.Errorf("%q: %v is no ErrInvalid", tt.in, err)
			}
		}
	}
}

func FuzzSniffAndPick(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"digest":"sha256:x","platform":{"os":"linux","architecture":"amd64"}}]}`))
	f.Add([]byte(`{"config":{},"layers":null}`))
	want, err := ParsePlatform("linux/amd64")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		mediaType, err := sniff(v1.Descriptor{}, text)
		if err == nil && !isIndex(mediaType) && !isManifest(mediaType) {
			t.Fatalf("sniffed %q", mediaType)
		}
		if d, err := pick(text, want); err == nil && d.Platform != nil && d.Platform.Architecture != "amd64" {
			t.Fatalf("picked %+v", d)
		}
		_, _ = diffIDs(text)
	})
}
