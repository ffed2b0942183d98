package dockerroot

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/layer"
)

// Options say how to read a data root. The zero value is right for a stopped
// engine with one graph driver.
type Options struct {
	// Driver chooses among several graph drivers with content; "" is the only one.
	Driver string
	// AllowRunning reads although an engine works on the root; layers may then
	// vanish while they are read, which is an error for their images.
	AllowRunning bool
}

// Root is an open data root. What it knows is what the database held when it was
// opened. It is safe for concurrent use.
type Root struct {
	path string
	dir  *rootfd.Root
	// base is the folder of an engine with remapped users below dir, "." otherwise.
	base   string
	driver string
	layers map[layer.ChainID]*layerEntry
	// broken has the reasons for layers that are in the database but of no use.
	broken map[layer.ChainID]error
	images []imageEntry // by ID
	skips  []error
}

// Open checks the data root at path and reads its database; the layers' files
// are only read by an import. ErrRunning if an engine works on it, which an
// engine that is started later is not kept from; ErrContainerd if there are only
// images that can't be read here; errdefs.ErrNotFound if there are none,
// errdefs.ErrUnsupported if a graph driver keeps them that has no folders. The
// caller closes the Root.
func Open(path string, opts Options) (*Root, error) {
	dir, err := rootfd.Open(path, rootfd.Options{})
	if err != nil {
		return nil, fmt.Errorf("docker data root: %w", err)
	}
	r := &Root{
		path: path, dir: dir,
		layers: map[layer.ChainID]*layerEntry{}, broken: map[layer.ChainID]error{},
	}
	if err := r.open(opts); err != nil {
		return nil, fmt.Errorf("docker data root %s: %w", path, errors.Join(err, dir.Close()))
	}
	return r, nil
}

func (r *Root) open(opts Options) error {
	if err := r.findDriver(opts.Driver); err != nil {
		return err
	}
	if !opts.AllowRunning {
		if err := r.checkStopped(); err != nil {
			return errdefs.WithHint(err, "stop the engine, or read it all the same with --force-running")
		}
	}
	if err := r.readLayers(); err != nil {
		return err
	}
	return r.readImages()
}

// Driver is the graph driver whose layers are read.
func (r *Root) Driver() string { return r.driver }

// Skipped lists what the data root holds and no image accounts for, with the
// reason why it is left out: layers and names of no use, other stores beside
// this one. What is wrong with an image is in that Image.
func (r *Root) Skipped() []error { return slices.Clone(r.skips) }

// Close lets go of the data root. Sources of it are of no use afterwards.
func (r *Root) Close() error { return r.dir.Close() }

func (r *Root) skip(format string, args ...any) {
	r.skips = append(r.skips, fmt.Errorf(format, args...))
}
