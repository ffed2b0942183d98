package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/cli/table"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/oci"
)

func historyVerb() *Verb {
	return &Verb{
		Name: "history", Group: groupImages, Summary: "Show how an image was made, with the size of each layer", Args: "IMAGE", Min: 1, Max: 1, ModernOnly: true,
		Detail: "The last step comes first. Steps that changed no file have no layer. In a pipe: layer, time, size in bytes and\n" +
			"step, separated by tabs.",
		Examples: []Example{
			{"See what makes an image large", "strata history app:1.2"},
			{"Print the steps only", "strata history --json app:1.2 | jq -r '.[].\"created-by\"'"},
		},
		Objects: []strata.Kind{strata.KindImage},
		Run: onStore(func(ctx context.Context, c *Call, store *strata.Store) error {
			img, err := oci.FindImage(ctx, store, c.Args[0])
			if err != nil {
				return err
			}
			steps, err := imageHistory(ctx, store, img)
			if err != nil {
				return err
			}
			return c.Show(historyResult(c, steps))
		}),
	}
}

// step is one line of an image's history.
type step struct {
	// Layer is "" for a step that changed no file.
	Layer     layer.ID     `json:"layer,omitempty"`
	Diff      layer.DiffID `json:"diff-digest,omitempty"`
	Created   *time.Time   `json:"created,omitempty"`
	CreatedBy string       `json:"created-by,omitempty"`
	Author    string       `json:"author,omitempty"`
	Comment   string       `json:"comment,omitempty"`
	Size      int64        `json:"size"`
}

// imageHistory joins the configuration's history with the layers, the last step
// first. What one has more of than the other is shown by itself.
func imageHistory(ctx context.Context, store *strata.Store, img image.Image) ([]step, error) {
	idx, err := takeIndex(ctx, store)
	if err != nil {
		return nil, err
	}
	in := &inspector{store: store, idx: idx}
	layers := in.chain(img.TopLayer)
	slices.Reverse(layers)
	var steps []step
	for _, h := range configHistory(in.documents(ctx, img)) {
		s := step{Created: h.Created, CreatedBy: h.CreatedBy, Author: h.Author, Comment: h.Comment}
		if !h.EmptyLayer && len(layers) > 0 {
			s.Layer, s.Diff, s.Size, layers = layers[0].ID, layers[0].Diff, layers[0].Size, layers[1:]
		}
		steps = append(steps, s)
	}
	for _, l := range layers {
		steps = append(steps, step{Layer: l.ID, Diff: l.Diff, Size: l.Size})
	}
	slices.Reverse(steps)
	return steps, nil
}

// configHistory is the history in the image's configuration, oldest first; none if
// there is no configuration that can be read.
func configHistory(documents []member) []v1.History {
	for _, d := range documents {
		raw, ok := d.value.(json.RawMessage)
		var config struct {
			History []v1.History `json:"history"`
		}
		if ok && d.key == "config" && json.Unmarshal(raw, &config) == nil {
			return config.History
		}
	}
	return nil
}

func historyResult(c *Call, steps []step) Result {
	return Result{
		JSON: never(steps),
		Text: func(b *bytes.Buffer) {
			for _, s := range steps {
				at := "-"
				if s.Created != nil {
					at = s.Created.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(b, "%s\t%s\t%d\t%s\n", orDash(string(s.Layer)), at, s.Size, oneLine(s.CreatedBy))
			}
		},
		Table: func() (*table.Table, error) {
			t := table.New("LAYER", "CREATED", "SIZE", "STEP")
			for _, s := range steps {
				at := time.Time{}
				if s.Created != nil {
					at = *s.Created
				}
				t.Row(orDash(table.ShortID(string(s.Layer))), table.Age(at, c.Now), table.Size(s.Size), oneLine(s.CreatedBy))
			}
			return t, nil
		},
	}
}

// oneLine makes a step of several lines one.
func oneLine(s string) string { return string(bytes.Join(bytes.Fields([]byte(s)), []byte(" "))) }
