package cli

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

func inspectVerb() *Verb {
	return &Verb{
		Name: "inspect", Group: groupStore, Summary: "Print everything known about containers, images or layers, as JSON",
		Args: "NAME...", Min: 1, Max: unlimited, JSON: true,
		Detail: "A name is looked up among the containers, then the images, then the layers. Objects have the keys of their\n" +
			"records, and others that are derived: kind, size, chain-id, layers, config, used-by and so on.",
		Examples: []Example{
			{"Print all about an image", "strata inspect debian"},
			{"Print the command that an image runs", "strata inspect debian | jq -c '.[0].config.config.Cmd'"},
		},
		Objects: allKinds(),
		Run:     onStore(inspect),
	}
}

func inspect(ctx context.Context, c *Call, store *strata.Store) error {
	snap, err := store.Snapshot(ctx)
	if err != nil {
		return err
	}
	in := &inspector{store: store, idx: newIndex(snap)}
	list := []json.RawMessage{}
	for _, arg := range c.Args {
		o, err := store.Find(ctx, c.object(ctx, store, arg), strata.KindContainer, strata.KindImage, strata.KindLayer)
		if err != nil {
			c.Fail(Failure{Arg: arg, Err: err, Line: arg + ": " + classicText(err), InJSON: true})
			continue
		}
		raw, err := in.object(ctx, o)
		if err != nil {
			return err
		}
		list = append(list, raw)
	}
	return c.Show(Result{
		Text: func(b *bytes.Buffer) { _ = writeJSON(b, list, "  ") }, // into memory
		JSON: list,
	})
}

// inspector gathers what is known of an object.
type inspector struct {
	store *strata.Store
	idx   *index
}

func (in *inspector) object(ctx context.Context, o strata.Object) (json.RawMessage, error) {
	switch o.Kind {
	case strata.KindContainer:
		return in.container(ctx, o.ID)
	case strata.KindImage:
		return in.image(ctx, o.ID)
	default:
		return in.layer(ctx, o.ID)
	}
}

func (in *inspector) container(ctx context.Context, id string) (json.RawMessage, error) {
	c, err := in.store.Container(ctx, id)
	if err != nil {
		return nil, err
	}
	derived := []member{{"kind", "container"}, {"image-names", never(in.idx.byID[c.Image].Names)}, {"layers", in.chain(c.Layer)}}
	if l, ok := in.idx.layers[c.Layer]; ok {
		derived = append(derived, mounts(l)...)
	}
	if size, err := in.store.ContainerSize(ctx, id); err == nil {
		derived = append(derived, member{"size", size})
	}
	return object(c.Record, derived...)
}

func (in *inspector) image(ctx context.Context, id string) (json.RawMessage, error) {
	i, err := in.store.Image(ctx, id)
	if err != nil {
		return nil, err
	}
	derived := []member{{"kind", "image"}, {"read-only", i.ReadOnly}, {"layers", in.chain(i.TopLayer)}}
	if l, ok := in.idx.layers[i.TopLayer]; ok && l.Chain != "" {
		derived = append(derived, member{"chain-id", l.Chain})
	}
	if size, err := in.store.ImageSize(ctx, id); err == nil {
		derived = append(derived, member{"size", size})
	}
	used := []string{}
	for _, c := range in.idx.snap.Containers {
		if c.Image == i.ID {
			used = append(used, string(c.ID))
		}
	}
	derived = append(derived, member{"used-by", used})
	return object(i.Record, append(derived, in.documents(ctx, i)...)...)
}

// documents are the image's manifest and configuration, as far as they are there
// and are JSON.
func (in *inspector) documents(ctx context.Context, i image.Image) []member {
	manifest, err := in.store.BigData(ctx, strata.KindImage, string(i.ID), image.ManifestKey)
	if err != nil || !json.Valid(manifest) {
		return nil
	}
	list := []member{{"manifest", json.RawMessage(manifest)}}
	var m struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if json.Unmarshal(manifest, &m) != nil || m.Config.Digest == "" {
		return list
	}
	config, err := in.store.BigData(ctx, strata.KindImage, string(i.ID), m.Config.Digest)
	if err != nil || !json.Valid(config) {
		return list
	}
	return append(list, member{"config", json.RawMessage(config)})
}

func (in *inspector) layer(ctx context.Context, id string) (json.RawMessage, error) {
	l, err := in.store.Layer(ctx, id)
	if err != nil {
		return nil, err
	}
	raw, err := richLayer(l)
	if err != nil {
		return nil, err
	}
	derived := []member{{"kind", "layer"}, {"layers", in.chain(l.Parent)}, {"used-by", in.layerUsers(l.ID)}}
	if facts, err := in.store.Driver().Metadata(ctx, graphdriver.ID(l.ID)); err == nil && len(facts) > 0 {
		derived = append(derived, member{"driver", facts})
	}
	return object(raw, derived...)
}

// layerUsers are what refers to a layer.
func (in *inspector) layerUsers(id layer.ID) map[string][]string {
	users := map[string][]string{"layers": {}, "images": {}, "containers": {}}
	for _, l := range in.idx.snap.Layers {
		if l.Parent == id {
			users["layers"] = append(users["layers"], string(l.ID))
		}
	}
	for _, i := range in.idx.images[id] {
		users["images"] = append(users["images"], string(i.ID))
	}
	for _, c := range in.idx.containers[id] {
		users["containers"] = append(users["containers"], string(c.ID))
	}
	return users
}

// chainLayer is a layer of a stack.
type chainLayer struct {
	ID   layer.ID     `json:"id"`
	Diff layer.DiffID `json:"diff-digest,omitempty"`
	Size int64        `json:"size"`
}

// chain lists a layer and those below it, top first.
func (in *inspector) chain(id layer.ID) []chainLayer {
	list := []chainLayer{}
	seen := map[layer.ID]bool{}
	for id != "" && !seen[id] {
		seen[id] = true
		l, ok := in.idx.layers[id]
		if !ok {
			break
		}
		size, _ := layerSize(l)
		list = append(list, chainLayer{l.ID, l.DiffID, size})
		id = l.Parent
	}
	return list
}
