package plugin

import (
	"time"

	"github.com/stratastore/strata/volume"
)

const (
	// contentType is what answers are sent as, accept what requests ask for.
	contentType = "application/vnd.docker.plugins.v1.1+json"
	accept      = "application/vnd.docker.plugins.v1.2+json"
	// implements is this protocol's name in the handshake.
	implements = "VolumeDriver"
	host       = "plugin.moby.localhost"
)

// The methods.
const (
	activate     = "Plugin.Activate"
	create       = "VolumeDriver.Create"
	remove       = "VolumeDriver.Remove"
	mount        = "VolumeDriver.Mount"
	unmount      = "VolumeDriver.Unmount"
	path         = "VolumeDriver.Path"
	get          = "VolumeDriver.Get"
	list         = "VolumeDriver.List"
	capabilities = "VolumeDriver.Capabilities"
)

// request is any request; each method has its own members.
type request struct {
	Name string            `json:",omitempty"`
	Opts map[string]string `json:",omitempty"`
	ID   string            `json:",omitempty"`
}

// response is any response.
type response struct {
	Implements   []string       `json:",omitempty"`
	Mountpoint   *string        `json:",omitempty"`
	Volume       *remoteVolume  `json:",omitempty"`
	Volumes      []remoteVolume `json:",omitzero"`
	Capabilities *capability    `json:",omitempty"`
	Err          string         `json:",omitempty"`
}

type capability struct{ Scope string }

// remoteVolume is a volume on the wire. CreatedAt is RFC 3339 or absent.
type remoteVolume struct {
	Name       string
	Mountpoint string
	CreatedAt  string         `json:",omitempty"`
	Status     map[string]any `json:",omitempty"`
}

func toRemote(info volume.Info) remoteVolume {
	v := remoteVolume{Name: info.Name, Mountpoint: info.Mountpoint, Status: info.Status}
	if !info.CreatedAt.IsZero() {
		v.CreatedAt = info.CreatedAt.UTC().Format(time.RFC3339)
	}
	return v
}

// toInfo forgives a time that is none.
func (v remoteVolume) toInfo() volume.Info {
	created, err := time.Parse(time.RFC3339, v.CreatedAt)
	if err != nil {
		created = time.Time{}
	}
	return volume.Info{Name: v.Name, Mountpoint: v.Mountpoint, CreatedAt: created, Status: v.Status}
}
