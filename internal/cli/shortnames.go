package cli

import (
	"context"
	"errors"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/oci"
)

// image lets the modern manner name images the short way: "debian" for
// "docker.io/library/debian:latest". What is not found comes back as it was, so
// that the error names what was typed.
func (c *Call) image(ctx context.Context, store *strata.Store, arg string) string {
	if c.classic() || arg == "" {
		return arg
	}
	if _, err := store.Image(ctx, arg); !errors.Is(err, image.ErrUnknown) {
		return arg
	}
	for _, name := range oci.Candidates(arg) {
		if o, err := store.Find(ctx, name, strata.KindImage); err == nil {
			return o.ID
		}
	}
	return arg
}

// object is image for verbs that take any kind.
func (c *Call) object(ctx context.Context, store *strata.Store, arg string) string {
	if c.classic() {
		return arg
	}
	if _, err := store.Find(ctx, arg); err == nil {
		return arg
	}
	return c.image(ctx, store, arg)
}
