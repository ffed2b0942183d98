package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/stratastore/strata/volume"
)

// Create makes a volume. The protocol's answer is empty, so the volume is asked for.
func (c *Client) Create(ctx context.Context, name string, options map[string]string) (volume.Info, error) {
	if _, err := c.call(ctx, create, request{Name: name, Opts: options}); err != nil {
		return volume.Info{}, err
	}
	info, err := c.Get(ctx, name)
	if err != nil {
		// It was made; whatever is wrong with asking does not undo that.
		c.opts.Logger.Warn("new volume can not be described by its plugin", "plugin", c.name, "volume", name, "error", err)
		return volume.Info{Name: name}, nil
	}
	return info, nil
}

// Remove deletes a volume.
func (c *Client) Remove(ctx context.Context, name string) error {
	_, err := c.call(ctx, remove, request{Name: name})
	return err
}

// Get describes a volume. An answer without one, and a plugin that does not know the
// method, are volume.ErrNoSuchVolume.
func (c *Client) Get(ctx context.Context, name string) (volume.Info, error) {
	answer, err := c.call(ctx, get, request{Name: name})
	var remote *RemoteError
	switch {
	case errors.As(err, &remote) && remote.Status == http.StatusNotFound && remote.Method == get:
		return volume.Info{}, volume.ErrNoSuchVolume
	case err != nil:
		return volume.Info{}, err
	case answer.Volume == nil:
		return volume.Info{}, volume.ErrNoSuchVolume
	}
	info := answer.Volume.toInfo()
	if info.Name == "" {
		info.Name = name
	}
	return info, nil
}

// List describes all volumes whose names are any; a plugin that offers no volumes has none.
func (c *Client) List(ctx context.Context) ([]volume.Info, error) {
	answer, err := c.call(ctx, list, request{})
	if errors.Is(err, ErrNoVolumeDriver) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var infos []volume.Info
	for _, v := range answer.Volumes {
		if err := volume.CheckName(v.Name); err != nil {
			c.opts.Logger.Warn("plugin lists a volume with an impossible name", "plugin", c.name, "error", err)
			continue
		}
		infos = append(infos, v.toInfo())
	}
	return infos, nil
}

// Path is where the volume's data is.
func (c *Client) Path(ctx context.Context, name string) (string, error) {
	answer, err := c.call(ctx, path, request{Name: name})
	return answer.mountpoint(), err
}

// Mount makes the data available to the user id.
func (c *Client) Mount(ctx context.Context, name, id string) (string, error) {
	answer, err := c.call(ctx, mount, request{Name: name, ID: id})
	if err == nil && !filepath.IsAbs(answer.mountpoint()) {
		return "", &RemoteError{Method: mount, Status: http.StatusOK, Text: fmt.Sprintf("answer has no path: %.100q", answer.mountpoint())}
	}
	return answer.mountpoint(), err
}

func (r response) mountpoint() string {
	if r.Mountpoint == nil {
		return ""
	}
	return *r.Mountpoint
}

// Unmount takes back one Mount.
func (c *Client) Unmount(ctx context.Context, name, id string) error {
	_, err := c.call(ctx, unmount, request{Name: name, ID: id})
	return err
}

// Scope asks the plugin once. A plugin without the method, or with a word that is no scope,
// is local; so is one that does not answer, until it does.
func (c *Client) Scope(ctx context.Context) volume.Scope {
	c.mu.Lock()
	scope := c.scope
	c.mu.Unlock()
	if scope != "" {
		return scope
	}
	answer, err := c.call(ctx, capabilities, request{})
	var remote *RemoteError
	if err != nil && !errors.As(err, &remote) {
		return volume.ScopeLocal
	}
	scope = volume.ScopeLocal
	if answer.Capabilities != nil {
		word, ok := answer.Capabilities.Scope, false
		if scope, ok = volume.ParseScope(word); !ok {
			c.opts.Logger.Warn("plugin has an invalid scope, local is assumed", "plugin", c.name, "scope", word)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.scope = scope
	return scope
}
