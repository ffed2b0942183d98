package cli

import (
	"context"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/oci"
)

func tagVerb() *Verb {
	return &Verb{
		Name: "tag", Group: groupImages, Summary: "Give an image further names", Args: "IMAGE NAME...", Min: 2, Max: unlimited, ModernOnly: true,
		Detail: "Short names are completed: app is localhost/app:latest. A name that another image has moves to this one.",
		Examples: []Example{
			{"Mark a version as the stable one", "strata tag app:1.2 app:stable"},
			{"Name an image for a registry", "strata tag app:1.2 registry.example/team/app:1.2"},
		},
		Objects: []strata.Kind{strata.KindImage},
		Run:     tag,
	}
}

// tagged tells in JSON which names an image got.
type tagged struct {
	Image string   `json:"image"`
	Added []string `json:"added"`
	Names []string `json:"names"`
}

func tag(ctx context.Context, c *Call) error {
	var names []string
	for _, arg := range c.Args[1:] {
		name, err := oci.LocalName(arg)
		if err != nil {
			return usagef(nameForm, "name %s: %v", quoteWord(arg), err)
		}
		names = append(names, name)
	}
	store, err := c.Store(ctx)
	if err != nil {
		return err
	}
	img, err := oci.FindImage(ctx, store, c.Args[0])
	if err != nil {
		return err
	}
	for _, name := range names {
		if other, err := store.Image(ctx, name); err == nil && other.ID != img.ID {
			c.Warn(name + " moved here from image " + string(other.ID))
		}
	}
	all, err := store.AddNames(ctx, string(img.ID), names)
	if err != nil {
		return err
	}
	return c.Text(tagged{string(img.ID), names, never(all)}, names...)
}
