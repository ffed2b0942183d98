package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/layer"
)

func (o CommitOptions) createdBy() string {
	if o.CreatedBy == "" {
		return "strata commit"
	}
	return o.CreatedBy
}

// extendConfig adds a layer and a line of history. Members that this package does
// not know (health checks, an engine's own) stay as they are.
func extendConfig(config []byte, l layer.Layer, opts CommitOptions) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &members); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	var img v1.Image
	if err := json.Unmarshal(config, &img); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	created := opts.Created.UTC()
	img.RootFS.Type = "layers"
	img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.Digest(l.DiffID))
	img.History = append(img.History, v1.History{Created: &created, CreatedBy: opts.createdBy(), Author: opts.Author, Comment: opts.Message})
	changed := map[string]any{"created": created, "rootfs": img.RootFS, "history": img.History}
	if opts.Author != "" {
		changed["author"] = opts.Author
	}
	for name, v := range changed {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		members[name] = text
	}
	for _, stale := range []string{"container", "id", "parent", "parent_id"} {
		delete(members, stale) // Docker's notes on the container that the base came from
	}
	return json.Marshal(members)
}

// editConfig lets edit change the "config" member of an image's configuration.
// Members of it that v1.ImageConfig does not know (Healthcheck, Shell, OnBuild of
// Docker's form) stay as they are.
func editConfig(config []byte, edit func(*v1.ImageConfig) error) ([]byte, error) {
	if edit == nil {
		return config, nil
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &members); err != nil {
		return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
	}
	inner := map[string]json.RawMessage{}
	var known v1.ImageConfig
	if text := members["config"]; text != nil {
		if err := errors.Join(json.Unmarshal(text, &inner), json.Unmarshal(text, &known)); err != nil {
			return nil, fmt.Errorf("configuration: %w: %w", err, errdefs.ErrCorrupt)
		}
	}
	if err := edit(&known); err != nil {
		return nil, err
	}
	if inner == nil { // "config": null
		inner = map[string]json.RawMessage{}
	}
	if err := replaceKnown(inner, known); err != nil {
		return nil, err
	}
	text, err := json.Marshal(inner)
	if err != nil {
		return nil, err
	}
	members["config"] = text
	return json.Marshal(members)
}

// replaceKnown puts v's members into inner, and takes away those that v has and left empty.
func replaceKnown(inner map[string]json.RawMessage, v v1.ImageConfig) error {
	t := reflect.TypeFor[v1.ImageConfig]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(inner, name)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, &inner)
}
