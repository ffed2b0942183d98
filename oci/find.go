package oci

import (
	"context"
	"errors"

	"github.com/stratastore/strata/image"
)

// ImageFinder is what FindImage needs of a *strata.Store.
type ImageFinder interface {
	Image(ctx context.Context, nameOrID string) (image.Image, error)
}

// FindImage returns the image that a person means: by ID, name or unique prefix as
// the store knows it, else by the full names that a short name stands for, so
// that "debian" is "localhost/debian:latest" or "docker.io/library/debian:latest".
// What nothing matches is an image.ErrUnknown that speaks of the text as given.
func FindImage(ctx context.Context, store ImageFinder, text string) (image.Image, error) {
	found, unknown := store.Image(ctx, text)
	if !errors.Is(unknown, image.ErrUnknown) {
		return found, unknown
	}
	for _, name := range Candidates(text) {
		found, err := store.Image(ctx, name)
		if !errors.Is(err, image.ErrUnknown) {
			return found, err
		}
	}
	return image.Image{}, unknown
}
