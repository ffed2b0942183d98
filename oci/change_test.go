package oci_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/oci"
)

func TestParseChange(t *testing.T) {
	base := func() v1.ImageConfig {
		return v1.ImageConfig{Env: []string{"PATH=/bin", "HOME=/"}, Cmd: []string{"old"}, Labels: map[string]string{"keep": "1"}}
	}
	tests := []struct {
		text string
		want func(*v1.ImageConfig)
	}{
		{`CMD ["sh", "-c", "echo hi"]`, func(c *v1.ImageConfig) { c.Cmd = []string{"sh", "-c", "echo hi"} }},
		{`cmd=["sh"]`, func(c *v1.ImageConfig) { c.Cmd = []string{"sh"} }},
		{`CMD echo hi`, func(c *v1.ImageConfig) { c.Cmd = []string{"/bin/sh", "-c", "echo hi"} }},
		{`CMD []`, func(c *v1.ImageConfig) { c.Cmd = []string{} }},
		{`ENTRYPOINT ["/app"]`, func(c *v1.ImageConfig) { c.Entrypoint = []string{"/app"} }},
		{`ENV HOME=/root`, func(c *v1.ImageConfig) { c.Env[1] = "HOME=/root" }},
		{`ENV LANG C.UTF-8`, func(c *v1.ImageConfig) { c.Env = append(c.Env, "LANG=C.UTF-8") }},
		{`ENV A="b c=d"`, func(c *v1.ImageConfig) { c.Env = append(c.Env, "A=b c=d") }},
		{`LABEL version=2`, func(c *v1.ImageConfig) { c.Labels["version"] = "2" }},
		{`EXPOSE 80 53/udp`, func(c *v1.ImageConfig) { c.ExposedPorts = map[string]struct{}{"80/tcp": {}, "53/udp": {}} }},
		{`VOLUME ["/data"]`, func(c *v1.ImageConfig) { c.Volumes = map[string]struct{}{"/data": {}} }},
		{`VOLUME /a /b`, func(c *v1.ImageConfig) { c.Volumes = map[string]struct{}{"/a": {}, "/b": {}} }},
		{`USER nobody`, func(c *v1.ImageConfig) { c.User = "nobody" }},
		{`WORKDIR /srv`, func(c *v1.ImageConfig) { c.WorkingDir = "/srv" }},
		{`STOPSIGNAL SIGINT`, func(c *v1.ImageConfig) { c.StopSignal = "SIGINT" }},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			change, err := oci.ParseChange(test.text)
			if err != nil {
				t.Fatal(err)
			}
			got, want := base(), base()
			if err := change(&got); err != nil {
				t.Fatal(err)
			}
			test.want(&want)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseChangeRefuses(t *testing.T) {
	for _, text := range []string{"", "RUN make", "CMD [1]", `ENTRYPOINT ["a"`, "ENV", "ENV =x", "LABEL novalue", `VOLUME [{}]`} {
		if _, err := oci.ParseChange(text); !errors.Is(err, errdefs.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseChange(f *testing.F) {
	for _, seed := range []string{`CMD ["a"]`, "ENV a=b", "EXPOSE 80", "LABEL \"a b\"='c'", "VOLUME [", "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		change, err := oci.ParseChange(text)
		if err != nil {
			if !errors.Is(err, errdefs.ErrInvalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var c v1.ImageConfig
		if err := change(&c); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
