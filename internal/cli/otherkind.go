package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
)

// otherKind is the hint for a name that is none of the wanted kind and one of another; ""
// when that is not what happened.
func otherKind(ctx context.Context, c *Call, store *strata.Store, arg string, err error) string {
	if store == nil || arg == "" || errdefs.Hint(err) != "" {
		return ""
	}
	isA := func(kinds ...error) bool {
		for _, kind := range kinds {
			if errors.Is(err, kind) {
				return true
			}
		}
		return false
	}
	noImage, noContainer := isA(image.ErrUnknown, strata.ErrNotAnImage), isA(container.ErrUnknown, strata.ErrNotAContainer)
	noLayer := isA(layer.ErrUnknown, strata.ErrNotALayer)
	img, imageErr := store.Image(ctx, c.image(ctx, store, arg))
	_, containerErr := store.Container(ctx, arg)
	_, layerErr := store.Layer(ctx, arg)
	switch {
	case noImage && imageErr == nil, noContainer && containerErr == nil, noLayer && layerErr == nil:
		return "" // something else was not found
	case noLayer && imageErr == nil:
		return fmt.Sprintf("%s is an image: `strata create-container %s` makes a container with its files; its top layer is %s", arg, arg, img.TopLayer)
	case noContainer && imageErr == nil:
		return fmt.Sprintf("%s is an image: `strata create-container %s` makes a container of it", arg, arg)
	case noImage && containerErr == nil:
		return fmt.Sprintf("%s is a container: `strata commit %s` makes an image of it", arg, arg)
	case (noImage || noContainer) && layerErr == nil:
		return fmt.Sprintf("%s is a layer: `strata layer %s` shows it", arg, arg)
	}
	return ""
}
