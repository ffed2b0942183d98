package plugin

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratastore/strata/internal/pluginsock"
	"github.com/stratastore/strata/volume"
)

// Address is where a plugin listens.
type Address = pluginsock.Address

// TLS is the member TLSConfig of a plugin's JSON file. The files are PEM.
type TLS = pluginsock.TLS

// Path is where plugins are looked for by name.
type Path struct {
	// Sockets are folders with NAME.sock or NAME/NAME.sock, Specs folders with NAME.spec and
	// NAME.json, or these in a folder NAME. Sockets come first, and folders in order.
	Sockets, Specs []string
}

// DefaultPath is where Docker looks.
func DefaultPath() Path { return Path(pluginsock.DefaultPath()) }

// Find returns the address of the plugin called name; volume.ErrNoSuchDriver if there is
// none.
func (p Path) Find(name string) (Address, error) {
	a, err := pluginsock.Path(p).Find(name)
	if errors.Is(err, pluginsock.ErrNoPlugin) {
		return Address{}, fmt.Errorf("%w: %w", volume.ErrNoSuchDriver, err)
	}
	return a, err
}

// Names lists the plugins that Find would find, sorted. Folders that are missing are empty.
func (p Path) Names() ([]string, error) { return pluginsock.Path(p).Names() }

// Registry makes the plugins on a path the drivers that a registry loads by name.
func (p Path) Registry(opts ClientOptions) volume.RegistryOptions {
	return volume.RegistryOptions{
		Find: func(_ context.Context, name string) (volume.Driver, error) {
			addr, err := p.Find(name)
			if err != nil {
				return nil, err
			}
			return NewClient(name, addr, opts)
		},
		Names: func(context.Context) ([]string, error) { return p.Names() },
	}
}
