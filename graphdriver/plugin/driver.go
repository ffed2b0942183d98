package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/pluginsock"
)

// driver is a plugin as a driver. It is safe for concurrent use.
type driver struct {
	*client
	init      request
	abilities abilities
}

var (
	_ graphdriver.Driver  = (*driver)(nil)
	_ graphdriver.Capable = (*driver)(nil)
)

// New returns the function that opens the plugin at addr as a driver called name, for a
// graphdriver.Registry. Opening makes the handshake, sends Init with the home, and
// asks for the capabilities. Errors are *CallErrors that name the plugin, its socket and the call.
//
// The driver's own options are those of the plugin, sent as "key=value".
func New(name string, addr pluginsock.Address, opts ClientOptions) graphdriver.Init {
	return func(ctx context.Context, cfg graphdriver.Config) (graphdriver.Driver, error) {
		c, err := newClient(name, addr, opts, cfg.Log())
		if err != nil {
			return nil, err
		}
		d := &driver{client: c, init: initRequest(cfg)}
		if err := d.open(ctx); err != nil {
			return nil, err
		}
		if d.abilities.Strata == nil && (cfg.ImageHome != "" || len(cfg.AdditionalHomes) > 0) {
			return nil, d.fail(initialize, fmt.Errorf("no image store and no additional stores with this plugin: %w", errdefs.ErrUnsupported))
		}
		return d, nil
	}
}

func initRequest(cfg graphdriver.Config) request {
	q := request{Home: cfg.Home, Strata: &extra{
		RunHome: cfg.RunHome, ImageHome: cfg.ImageHome, AdditionalHomes: cfg.AdditionalHomes,
		NoSync: cfg.Sync == graphdriver.SyncNone, Rootless: cfg.Rootless, DisableIDMap: cfg.DisableIDMap,
	}}
	for _, o := range cfg.Options {
		q.Opts = append(q.Opts, o.Key+"="+o.Value)
	}
	return q
}

// open makes the handshake, initialises the driver and learns what it can do.
func (d *driver) open(ctx context.Context) error {
	answer, err := d.client.call(ctx, activate, request{})
	if err != nil {
		return err
	}
	if !slices.Contains(answer.Implements, implements) {
		return d.fail(activate, fmt.Errorf("it offers %q: %w", answer.Implements, ErrNoGraphDriver))
	}
	if _, err := d.client.call(ctx, initialize, d.init); err != nil {
		return err
	}
	answer, err = d.client.call(ctx, capabilities, request{})
	if unknownMethod(err) {
		return nil
	}
	if err == nil && answer.Capabilities != nil {
		d.abilities = *answer.Capabilities
	}
	return err
}

// unknownMethod tells of the answer to a method that a plugin does not have.
func unknownMethod(err error) bool {
	var remote *RemoteError
	return errors.As(err, &remote) && remote.Status == http.StatusNotFound
}

// call is client.call that sends Init again to a server that was started anew.
func (d *driver) call(ctx context.Context, method string, q request) (response, error) {
	answer, err := d.client.call(ctx, method, q)
	if !errors.Is(err, errNoInit) {
		return answer, err
	}
	if _, err := d.client.call(ctx, initialize, d.init); err != nil {
		return response{}, err
	}
	return d.client.call(ctx, method, q)
}

// says returns x for a plugin that reads it, and nothing for others; what must not be left out is
// then an ErrUnsupported.
func (d *driver) says(x extra, must bool, what string) (*extra, error) {
	if d.abilities.Strata != nil {
		return &x, nil
	}
	if must {
		return nil, fmt.Errorf("%s: not with this plugin: %w", what, errdefs.ErrUnsupported)
	}
	return nil, nil
}

// Name returns the plugin's name.
func (d *driver) Name() string { return d.name }

// Capabilities are those that the plugin told when it was opened.
func (d *driver) Capabilities() graphdriver.Capabilities {
	return graphdriver.Capabilities{
		ReproducesExactDiffs: d.abilities.ReproducesExactDiffs,
		Reowns:               d.abilities.Strata != nil && d.abilities.Strata.Reowns,
	}
}

// Create makes a layer: an image's by Create, any other by CreateReadWrite.
func (d *driver) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if err := valid(id, parent); err != nil {
		return err
	}
	x, err := d.says(extra{Mapping: opts.Mapping, Reown: opts.Reown, Image: opts.Image},
		!opts.Mapping.Empty() || opts.Reown != nil, "layer with owners of its own")
	if err != nil {
		return d.fail(create, err)
	}
	method := createReadWrite
	if opts.Image {
		method = create
	}
	_, err = d.call(ctx, method, request{
		ID: string(id), Parent: string(parent), MountLabel: opts.MountLabel, StorageOpt: opts.StorageOpt, Strata: x,
	})
	return d.classifyCreate(ctx, err, id, parent)
}

// Remove removes a layer.
func (d *driver) Remove(ctx context.Context, id graphdriver.ID) error {
	return d.simple(ctx, remove, id)
}

// Put undoes a Get.
func (d *driver) Put(ctx context.Context, id graphdriver.ID) error { return d.simple(ctx, put, id) }

func (d *driver) simple(ctx context.Context, method string, id graphdriver.ID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	_, err := d.call(ctx, method, request{ID: string(id)})
	return err
}

// Get returns the plugin's path of the layer. A plugin of somebody else mounts as it likes, also
// when ReadOnly is asked for.
func (d *driver) Get(ctx context.Context, id graphdriver.ID, opts graphdriver.MountOptions) (string, error) {
	if err := id.Validate(); err != nil {
		return "", err
	}
	odd := slices.ContainsFunc(opts.Options, func(o string) bool { return o != "ro" })
	x, err := d.says(extra{
		Mapping: opts.Mapping, ReadOnly: opts.ReadOnly, Volatile: opts.Volatile, MountOptions: opts.Options,
	}, odd || !opts.Mapping.Empty(), "mount options and ID mapping")
	if err != nil {
		return "", d.fail(get, err)
	}
	answer, err := d.call(ctx, get, request{ID: string(id), MountLabel: opts.MountLabel, Strata: x})
	if err != nil {
		return "", d.classify(ctx, err, id)
	}
	if !filepath.IsAbs(answer.Dir) {
		return "", d.fail(get, fmt.Errorf("directory %q is not an absolute path: %w", answer.Dir, ErrAnswer))
	}
	return filepath.Clean(answer.Dir), nil
}

// Exists asks the plugin.
func (d *driver) Exists(ctx context.Context, id graphdriver.ID) (bool, error) {
	if err := id.Validate(); err != nil {
		return false, err
	}
	answer, err := d.call(ctx, exists, request{ID: string(id)})
	return answer.Exists, err
}

// Status asks the plugin; one that does not answer has none.
func (d *driver) Status() []graphdriver.StatusItem {
	ctx := context.Background() // the contract has none; the call has its time-out
	answer, err := d.call(ctx, status, request{})
	if err != nil {
		d.log.WarnContext(ctx, "no status of the storage driver", "error", err)
	}
	var items []graphdriver.StatusItem
	for _, pair := range answer.Status {
		items = append(items, graphdriver.StatusItem{Key: pair[0], Value: pair[1]})
	}
	return items
}

// Metadata asks the plugin.
func (d *driver) Metadata(ctx context.Context, id graphdriver.ID) (map[string]string, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	answer, err := d.call(ctx, metadata, request{ID: string(id)})
	return answer.Metadata, d.classify(ctx, err, id)
}

// Cleanup lets the plugin release what it holds.
func (d *driver) Cleanup(ctx context.Context) error {
	_, err := d.client.call(ctx, cleanup, request{})
	if errors.Is(err, errNoInit) {
		return nil
	}
	return err
}

// Changes asks the plugin and sorts its answer.
func (d *driver) Changes(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) ([]archive.Change, error) {
	answer, err := d.compared(ctx, changes, id, parent, opts)
	if err != nil {
		return nil, err
	}
	var list []archive.Change
	for _, c := range answer.Changes {
		kind := archive.ChangeKind(c.Kind)
		if kind < archive.Modified || kind > archive.Deleted || !filepath.IsAbs(c.Path) {
			return nil, d.fail(changes, fmt.Errorf("change %d of %q: %w", c.Kind, c.Path, ErrAnswer))
		}
		list = append(list, archive.Change{Path: c.Path, Kind: kind})
	}
	return list, nil
}

// DiffSize asks the plugin.
func (d *driver) DiffSize(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (int64, error) {
	answer, err := d.compared(ctx, diffSize, id, parent, opts)
	return answer.Size, err
}

// compared sends a request about a layer and its parent.
func (d *driver) compared(ctx context.Context, method string, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (response, error) {
	q, err := d.diffRequest(method, id, parent, opts)
	if err != nil {
		return response{}, err
	}
	answer, err := d.call(ctx, method, q)
	return answer, d.classify(ctx, err, id, parent)
}

func (d *driver) diffRequest(method string, id, parent graphdriver.ID, opts graphdriver.DiffOptions) (request, error) {
	if err := valid(id, parent); err != nil {
		return request{}, err
	}
	x, err := d.says(extra{Mapping: opts.Mapping, ParentMapping: opts.ParentMapping},
		!opts.Mapping.Empty() || !opts.ParentMapping.Empty(), "ID mapping")
	if err != nil {
		return request{}, d.fail(method, err)
	}
	return request{ID: string(id), Parent: string(parent), MountLabel: opts.MountLabel, Strata: x}, nil
}

// valid checks IDs before they are sent.
func valid(id, parent graphdriver.ID) error {
	if err := id.Validate(); err != nil || parent == "" {
		return err
	}
	return parent.Validate()
}

// classify finds the kind of an error that a plugin answered as a text only: when a layer of the
// request does not exist, that is it.
func (d *driver) classify(ctx context.Context, err error, ids ...graphdriver.ID) error {
	var remote *RemoteError
	if !errors.As(err, &remote) || len(remote.kinds) > 0 {
		return err
	}
	for _, id := range ids {
		if id == "" {
			continue
		}
		if there, asked := d.Exists(ctx, id); asked == nil && !there {
			return fmt.Errorf("layer %s: %w: %w", id, errdefs.ErrNotFound, err)
		}
	}
	return err
}

// classifyCreate is classify for a layer that must not exist.
func (d *driver) classifyCreate(ctx context.Context, err error, id, parent graphdriver.ID) error {
	var remote *RemoteError
	if !errors.As(err, &remote) || len(remote.kinds) > 0 {
		return err
	}
	if there, asked := d.Exists(ctx, id); asked == nil && there {
		return fmt.Errorf("layer %s: %w: %w", id, errdefs.ErrExists, err)
	}
	return d.classify(ctx, err, parent)
}

// mapping is what a request's owners are mapped by: its own words, or those of Init.
func (q request) mapping(standard idmap.Mapping) idmap.Mapping {
	if q.Strata != nil {
		return q.Strata.Mapping
	}
	return standard
}
