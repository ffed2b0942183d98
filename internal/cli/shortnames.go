package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/oci"
)

// image lets the modern manner name images the short way: "debian" for
// "docker.io/library/debian:latest". What is not found comes back as it was, so
// that the error names what was typed.
func (c *Call) image(ctx context.Context, store *strata.Store, arg string) string {
	if c.classic() || arg == "" {
		return arg
	}
	found, err := oci.FindImage(ctx, store, arg)
	if err != nil || slices.Contains(found.Names, arg) || strings.HasPrefix(string(found.ID), arg) {
		return arg
	}
	return string(found.ID)
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
