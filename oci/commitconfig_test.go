package oci

import (
	"errors"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

func TestEditConfigKeepsWhatItDoesNotKnow(t *testing.T) {
	tests := []struct {
		name, in, want string
		edit           func(*v1.ImageConfig) error
	}{
		{"no edit", `{"a":1, "config":{ }}`, `{"a":1, "config":{ }}`, nil},
		{"engine's own members stay", `{"config":{"Cmd":["old"],"Healthcheck":{"Test":["NONE"]}},"docker_version":"20"}`,
			`{"config":{"Cmd":["new"],"Healthcheck":{"Test":["NONE"]}},"docker_version":"20"}`,
			func(c *v1.ImageConfig) error { c.Cmd = []string{"new"}; return nil }},
		{"an emptied member goes", `{"config":{"Cmd":["old"],"User":"me"}}`, `{"config":{"User":"me"}}`,
			func(c *v1.ImageConfig) error { c.Cmd = nil; return nil }},
		{"none before", `{"os":"linux"}`, `{"config":{"User":"me"},"os":"linux"}`,
			func(c *v1.ImageConfig) error { c.User = "me"; return nil }},
		{"null before", `{"config":null}`, `{"config":{"User":"me"}}`,
			func(c *v1.ImageConfig) error { c.User = "me"; return nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := editConfig([]byte(test.in), test.edit)
			if err != nil || string(got) != test.want {
				t.Errorf("%s, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestEditConfigOfDamage(t *testing.T) {
	for _, text := range []string{"", "[]", `{"config":[]}`, `{"config":{"Cmd":1}}`} {
		_, err := editConfig([]byte(text), func(*v1.ImageConfig) error { return nil })
		if !errors.Is(err, errdefs.ErrCorrupt) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
