package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/volume"
	"github.com/stratastore/strata/volume/local"
	"github.com/stratastore/strata/volume/ontop"
	"github.com/stratastore/strata/volume/plugin"
)

// ontopDriver is the name of the driver ontop on the command line.
const ontopDriver = "ontop"

// How long the command waits: for another command to let go of the volumes' database, and
// for a plugin to answer.
const (
	volumeLockTime   = 2 * volumePluginTime // a command that asks plugins keeps the database
	volumePluginTime = 5 * time.Second
)

// volumeVerb completes what all verbs about volumes have in common.
func volumeVerb(v *Verb) *Verb {
	v.Group, v.ModernOnly = groupVolumes, true
	return v
}

// volumePlaces are the directories of a store's volumes.
type volumePlaces struct {
	graph string
	// root has the database and the volumes of the driver local, as Docker's has.
	root string
	// ontop is the state folder of the driver ontop.
	ontop string
}

func (c *Call) volumePlaces() (volumePlaces, error) { return c.session.volumePlaces() }

func (s *session) volumePlaces() (volumePlaces, error) {
	cfg, err := s.config()
	if err != nil {
		return volumePlaces{}, &openError{err}
	}
	graph := cfg.GraphRoot()
	return volumePlaces{graph: graph, root: filepath.Join(graph, "strata", "volumes"), ontop: filepath.Join(graph, "strata", "ontop")}, nil
}

func (p volumePlaces) database() string { return filepath.Join(p.root, "metadata.db") }

// volumes are a store's volumes with their drivers.
type volumes struct {
	*volume.Store
	places volumePlaces
	ontop  *ontop.Driver
}

// volumes opens the volumes. lookOnly leaves the recovery of what killed processes left to
// commands that change something. The caller closes them.
func (c *Call) volumes(ctx context.Context, lookOnly bool) (*volumes, error) {
	v, err := c.session.openVolumes(ctx, lookOnly)
	if err != nil {
		return nil, &openError{err}
	}
	return v, nil
}

func (s *session) openVolumes(ctx context.Context, lookOnly bool) (*volumes, error) {
	places, err := s.volumePlaces()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(places.graph, 0o700); err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	v := &volumes{places: places}
	near, err := local.New(ctx, local.Options{Root: places.root, UID: os.Geteuid(), GID: os.Getegid(), Logger: s.log})
	if err != nil {
		return nil, err
	}
	v.ontop, err = ontop.New(ctx, ontop.Options{
		Root: places.ontop, Name: ontopDriver, Images: &imageMounts{session: s}, LookOnly: lookOnly, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	drivers := volume.NewRegistry(s.volumePlugins(places))
	if err := errorsJoin(drivers.Register(near), drivers.Register(v.ontop)); err != nil {
		return nil, err
	}
	v.Store, err = volume.Open(ctx, volume.Options{
		Path: places.database(), Drivers: drivers, DriverTimeout: volumePluginTime, LockTimeout: volumeLockTime, LookOnly: lookOnly, Logger: s.log,
	})
	return v, err
}

// volumePlugins finds other programs' drivers where Docker does, apart from the server of
// these very volumes, which would show each of them twice.
func (s *session) volumePlugins(places volumePlaces) volume.RegistryOptions {
	path := plugin.Path(s.pluginPath())
	found := path.Registry(plugin.ClientOptions{Handshake: volumePluginTime, Timeout: volumePluginTime, Retry: -1, Logger: s.log})
	own := func(name string) bool {
		addr, err := path.Find(name)
		served := plugin.Served(places.ontop)
		return err == nil && served != nil && addr.Addr == "unix://"+served.Socket
	}
	return volume.RegistryOptions{
		Find: func(ctx context.Context, name string) (volume.Driver, error) {
			if own(name) {
				return nil, volume.ErrNoSuchDriver
			}
			return found.Find(ctx, name)
		},
		Names: func(ctx context.Context) ([]string, error) {
			names, err := found.Names(ctx)
			if errors.Is(err, fs.ErrPermission) {
				err = nil // an ordinary user could not use them either
			}
			return slices.DeleteFunc(names, own), err
		},
	}
}

// reachVolumePlugin makes the handshake with the plugin that is the driver name, if there is
// one.
func (s *session) reachVolumePlugin(ctx context.Context, name string) error {
	if name == "" || name == volume.DefaultDriver || name == ontopDriver {
		return nil
	}
	places, err := s.volumePlaces()
	if err != nil {
		return err
	}
	d, err := s.volumePlugins(places).Find(ctx, volume.CanonicalDriver(name))
	if errors.Is(err, volume.ErrNoSuchDriver) {
		return nil // the volumes' error about it says more
	}
	if err != nil {
		return err
	}
	if p, ok := d.(*plugin.Client); ok {
		return p.Activate(ctx)
	}
	return nil
}

// close lets go of the volumes; what is mounted stays mounted. It waits for what was
// discarded to be deleted, without keeping the database from others.
func (v *volumes) close() error {
	return errorsJoin(v.Close(), v.ontop.Close())
}

// onTop returns the driver of a volume that is to be on top of something.
func (v *volumes) onTop(ctx context.Context, name string) (*ontop.Driver, error) {
	d, err := v.Driver(ctx, name)
	if err != nil {
		return nil, err
	}
	if d, ok := d.(*ontop.Driver); ok {
		return d, nil
	}
	return nil, errdefs.WithHint(fmt.Errorf("volume %s is of the driver %q, which keeps no changes apart: %w", name, d.Name(), errdefs.ErrUnsupported),
		"strata volume create --driver ontop --opt base=DIR makes a volume that does")
}

// withVolumes opens the volumes for a verb.
func withVolumes(lookOnly bool, run func(ctx context.Context, c *Call, v *volumes) error) func(context.Context, *Call) error {
	return func(ctx context.Context, c *Call) (err error) {
		v, err := c.volumes(ctx, lookOnly)
		if err != nil {
			return err
		}
		defer func() { err = errorsJoin(err, v.close()) }()
		return run(ctx, c, v)
	}
}

// volumeNames completes names of volumes. It makes nothing: without volumes there is
// nothing to offer.
func (m *modern) volumeNames(ctx context.Context, given []string, prefix string) []cobra.Completion {
	places, err := m.session.volumePlaces()
	if err != nil {
		return nil
	}
	if _, err := os.Stat(places.database()); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	v, err := m.session.openVolumes(ctx, true)
	if err != nil {
		return nil
	}
	defer func() { _ = v.close() }() // a completion has nobody to tell
	found, err := v.Find(ctx, volume.Filter{})
	if err != nil {
		return nil
	}
	var words []cobra.Completion
	for _, one := range found.Volumes {
		if strings.HasPrefix(one.Name, prefix) && !slices.Contains(given, one.Name) {
			words = append(words, cobra.CompletionWithDesc(one.Name, one.Driver))
		}
	}
	return words
}
