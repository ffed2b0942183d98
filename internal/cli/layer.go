package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/layer"
)

func layerVerb() *Verb {
	return examineVerb(&Verb{
		Name: "layer", Group: groupLayers, Summary: "Show layers", Args: "LAYER...",
		Examples: []Example{{"Show a layer with its digests and its place in the chain", "strata layer --json LAYER"}},
		Objects:  []strata.Kind{strata.KindLayer},
	}, func(ctx context.Context, _ *Call, s *strata.Store, arg string) (layer.Layer, error) {
		return s.Layer(ctx, arg)
	}, showLayers)
}

func showLayers(_ context.Context, _ *strata.Store, list []layer.Layer) (Result, error) {
	return Result{
		Text: func(b *bytes.Buffer) {
			for _, l := range list {
				writeLayer(b, l)
			}
		},
		JSON: never(records(list, layerRecord)),
		Rich: func() (any, error) { return richList(list, richLayer) },
	}, nil
}

func writeLayer(b *bytes.Buffer, l layer.Layer) {
	fmt.Fprintf(b, "ID: %s\n", l.ID)
	writeMap(b, "UID", l.UIDMap)
	writeMap(b, "GID", l.GIDMap)
	if l.Parent != "" {
		fmt.Fprintf(b, "Parent: %s\n", l.Parent)
	}
	for _, name := range l.Names {
		fmt.Fprintf(b, "Name: %s\n", name)
	}
	if l.ReadOnly {
		fmt.Fprintln(b, "Read Only: true")
	}
}

func writeMap(b *bytes.Buffer, kind string, ranges []idmap.Range) {
	for _, r := range ranges {
		fmt.Fprintf(b, "%s mapping: (container=%d, host=%d, size=%d)\n", kind, r.ContainerID, r.HostID, r.Size)
	}
}
