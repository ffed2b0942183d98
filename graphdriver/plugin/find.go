package plugin

import (
	"context"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/pluginsock"
)

// Path is where plugins are looked for by name.
type Path = pluginsock.Path

// Address is where a plugin listens.
type Address = pluginsock.Address

// DefaultPath is where Docker looks.
func DefaultPath() Path { return pluginsock.DefaultPath() }

// Finder returns the function that opens plugins on a path by name, for
// graphdriver.Registry.Find. A name that no plugin has is an errdefs.ErrNotFound.
func Finder(path Path, opts ClientOptions) func(ctx context.Context, name string) (graphdriver.Init, error) {
	return func(_ context.Context, name string) (graphdriver.Init, error) {
		addr, err := path.Find(name)
		if err != nil {
			return nil, err
		}
		return New(name, addr, opts), nil
	}
}
