package oci

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
)

// Change is one change of an image's configuration.
type Change func(*v1.ImageConfig) error

// ParseChange reads a change as Dockerfiles write it: one of CMD, ENTRYPOINT, ENV,
// EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR, then a blank or "=", then
// its value. CMD, ENTRYPOINT and VOLUME take a JSON list; CMD and ENTRYPOINT also
// a line for /bin/sh, VOLUME also paths. ErrInvalid names what is wrong.
func ParseChange(text string) (Change, error) {
	word, value := cutChange(strings.TrimSpace(text))
	parse := changes[strings.ToUpper(word)]
	if parse == nil {
		return nil, errdefs.WithHint(fmt.Errorf("change %q: unknown instruction %q: %w", text, word, errdefs.ErrInvalid),
			"use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR")
	}
	change, err := parse(value)
	if err != nil {
		return nil, fmt.Errorf("change %q: %w: %w", text, err, errdefs.ErrInvalid)
	}
	return change, nil
}

// cutChange parts the instruction from its value.
func cutChange(text string) (word, value string) {
	i := strings.IndexAny(text, " \t=")
	if i < 0 {
		return text, ""
	}
	return text[:i], strings.TrimSpace(text[i+1:])
}

// changes are the instructions, each from its value.
var changes = map[string]func(value string) (Change, error){
	"CMD": func(v string) (Change, error) {
		return setCommand(v, func(c *v1.ImageConfig) *[]string { return &c.Cmd })
	},
	"ENTRYPOINT": func(v string) (Change, error) {
		return setCommand(v, func(c *v1.ImageConfig) *[]string { return &c.Entrypoint })
	},
	"ENV":    setEnv,
	"LABEL":  setLabel,
	"EXPOSE": expose,
	"VOLUME": addVolumes,
	"USER":   func(v string) (Change, error) { return setText(v, func(c *v1.ImageConfig) *string { return &c.User }) },
	"WORKDIR": func(v string) (Change, error) {
		return setText(v, func(c *v1.ImageConfig) *string { return &c.WorkingDir })
	},
	"STOPSIGNAL": func(v string) (Change, error) {
		return setText(v, func(c *v1.ImageConfig) *string { return &c.StopSignal })
	},
}

func setText(value string, field func(*v1.ImageConfig) *string) (Change, error) {
	return func(c *v1.ImageConfig) error { *field(c) = value; return nil }, nil
}

func setCommand(value string, field func(*v1.ImageConfig) *[]string) (Change, error) {
	words, list, err := parseList(value)
	if err != nil {
		return nil, err
	}
	if !list && value != "" {
		words = []string{"/bin/sh", "-c", value}
	}
	return func(c *v1.ImageConfig) error { *field(c) = words; return nil }, nil
}

// parseList reads a JSON list of words; list is false for anything else.
func parseList(value string) (words []string, list bool, err error) {
	if !strings.HasPrefix(value, "[") {
		return nil, false, nil
	}
	err = json.Unmarshal([]byte(value), &words)
	return words, true, err
}

func cutPair(value string) (key, v string, err error) {
	key, v, ok := strings.Cut(value, "=")
	if !ok {
		key, v, ok = strings.Cut(value, " ")
	}
	if key = strings.TrimSpace(key); key == "" || !ok {
		return "", "", fmt.Errorf("%q is not KEY=VALUE", value)
	}
	return key, unquoted(v), nil
}

// unquoted takes one pair of quotes off a word.
func unquoted(v string) string {
	if n := len(v); n >= 2 && (v[0] == '"' || v[0] == '\'') && v[n-1] == v[0] {
		return v[1 : n-1]
	}
	return v
}

func setEnv(value string) (Change, error) {
	key, v, err := cutPair(value)
	if err != nil {
		return nil, err
	}
	return func(c *v1.ImageConfig) error {
		for i, old := range c.Env {
			if strings.HasPrefix(old, key+"=") {
				c.Env[i] = key + "=" + v
				return nil
			}
		}
		c.Env = append(c.Env, key+"="+v)
		return nil
	}, nil
}

func setLabel(value string) (Change, error) {
	key, v, err := cutPair(value)
	if err != nil {
		return nil, err
	}
	return func(c *v1.ImageConfig) error {
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[unquoted(key)] = v
		return nil
	}, nil
}

func expose(value string) (Change, error) {
	ports := strings.Fields(value)
	for i, port := range ports {
		if !strings.Contains(port, "/") {
			ports[i] = port + "/tcp"
		}
	}
	return func(c *v1.ImageConfig) error { c.ExposedPorts = adding(c.ExposedPorts, ports); return nil }, nil
}

func addVolumes(value string) (Change, error) {
	paths, list, err := parseList(value)
	if err != nil {
		return nil, err
	}
	if !list {
		paths = strings.Fields(value)
	}
	return func(c *v1.ImageConfig) error { c.Volumes = adding(c.Volumes, paths); return nil }, nil
}

func adding(set map[string]struct{}, words []string) map[string]struct{} {
	if set == nil {
		set = map[string]struct{}{}
	}
	for _, w := range words {
		set[w] = struct{}{}
	}
	return set
}
