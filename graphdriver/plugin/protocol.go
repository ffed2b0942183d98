package plugin

import (
	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/internal/idmap"
)

const (
	// contentType is what answers are sent as, tarType diffs; accept is what requests ask for.
	contentType = "application/vnd.docker.plugins.v1.2+json"
	tarType     = "application/x-tar"
	accept      = "application/vnd.docker.plugins.v1.2+json"
	// implements is this protocol's name in the handshake.
	implements = "GraphDriver"
	host       = "plugin.moby.localhost"
	// version is that of the member "Strata".
	version = 1
)

// The methods. endStream is strata's own: it ends a Diff or ApplyDiff whose client does
// not want it any more, and answers when it has ended.
const (
	activate        = "Plugin.Activate"
	initialize      = "GraphDriver.Init"
	capabilities    = "GraphDriver.Capabilities"
	create          = "GraphDriver.Create"
	createReadWrite = "GraphDriver.CreateReadWrite"
	remove          = "GraphDriver.Remove"
	get             = "GraphDriver.Get"
	put             = "GraphDriver.Put"
	exists          = "GraphDriver.Exists"
	status          = "GraphDriver.Status"
	metadata        = "GraphDriver.GetMetadata"
	cleanup         = "GraphDriver.Cleanup"
	changes         = "GraphDriver.Changes"
	diffSize        = "GraphDriver.DiffSize"
	diff            = "GraphDriver.Diff"
	applyDiff       = "GraphDriver.ApplyDiff"
	endStream       = "GraphDriver.StrataEndStream"
)

// The query of ApplyDiff, whose body is the tar.
const (
	queryID     = "id"
	queryParent = "parent"
	queryExtra  = "strata"
)

// request is any request; each method has its own members.
type request struct {
	Home       string            `json:",omitempty"`
	Opts       []string          `json:",omitempty"`
	UIDMaps    []idmap.Range     `json:",omitempty"`
	GIDMaps    []idmap.Range     `json:",omitempty"`
	ID         string            `json:",omitempty"`
	Parent     string            `json:",omitempty"`
	MountLabel string            `json:",omitempty"`
	StorageOpt map[string]string `json:",omitempty"`
	Strata     *extra            `json:",omitempty"`
}

// extra is what Docker's protocol has no words for.
type extra struct {
	// Of Init.
	RunHome         string   `json:",omitempty"`
	ImageHome       string   `json:",omitempty"`
	AdditionalHomes []string `json:",omitempty"`
	NoSync          bool     `json:",omitempty"`
	Rootless        bool     `json:",omitempty"`
	DisableIDMap    bool     `json:",omitempty"`
	// Of the layers' methods.
	Mapping       idmap.Mapping  `json:",omitzero"`
	ParentMapping idmap.Mapping  `json:",omitzero"`
	Reown         *idmap.Mapping `json:",omitempty"`
	Image         bool           `json:",omitempty"`
	ReadOnly      bool           `json:",omitempty"`
	Volatile      bool           `json:",omitempty"`
	// MountOptions replace the driver's when they are not nil.
	MountOptions []string       `json:",omitzero"`
	Limits       archive.Limits `json:",omitzero"`
	// Stream names a Diff or ApplyDiff, for endStream.
	Stream string `json:",omitempty"`
}

// response is any response that is no tar. Docker takes what is missing for the zero value.
type response struct {
	Implements   []string          `json:",omitempty"`
	Dir          string            `json:",omitempty"`
	Exists       bool              `json:",omitempty"`
	Status       [][2]string       `json:",omitempty"`
	Metadata     map[string]string `json:",omitempty"`
	Changes      []change          `json:",omitempty"`
	Size         int64             `json:",omitempty"`
	Capabilities *abilities        `json:",omitempty"`
	Err          string            `json:",omitempty"`
	// Kinds are what kind of error it is, by the names in kinds; none from other plugins.
	Kinds []string `json:",omitempty"`
}

type change struct {
	Path string
	Kind int
}

// abilities are a driver's capabilities. Strata is there when the plugin reads extra.
type abilities struct {
	ReproducesExactDiffs bool
	Strata               *strataAbilities `json:",omitempty"`
}

type strataAbilities struct {
	Version int
	Reowns  bool `json:",omitempty"`
}
