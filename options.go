package strata

import (
	"log/slog"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
)

// Options say which store Open opens. GraphRoot and RunRoot are required; all
// else has a default. Nothing is read from the environment or from files: that
// is what package config is for.
type Options struct {
	// GraphRoot is the directory that lasts: layers, images, containers. It is made
	// when it is not there.
	GraphRoot string
	// RunRoot is the directory that goes away with a reboot: mount counts, run
	// directories. It is made when it is not there.
	RunRoot string
	// ImageStore, when not empty, is a second graph root that new images and the
	// layers of images go to (on-disk format, 1.4).
	ImageStore string
	// AdditionalImageStores are graph roots of other stores that are only read
	// (on-disk format, 1.5), in the order of lookup.
	AdditionalImageStores []string
	// Driver is the graph driver's name; when empty it is chosen: prior state, then
	// DriverPriority (on-disk format, 8.5).
	Driver string
	// DriverPriority replaces the built-in order of drivers to try.
	DriverPriority []string
	// DriverOptions are "driver.key=value", ".key=value" or "key=value".
	// "imagestore=PATH" adds to AdditionalImageStores.
	DriverOptions []string
	// Transient puts the records of containers and of their layers into the run root
	// (on-disk format, 1.3).
	Transient bool
	// Sync says how durable stored layers are; the default syncs them before their record is written.
	Sync graphdriver.SyncMode
	// DisableVolatile ignores the volatile flag of containers when mounting.
	DisableVolatile bool
	// DisableIDMap makes the drivers behave as if the kernel had no ID-mapped mounts.
	DisableIDMap bool
	// Rootless is set for a process without the rights of the initial user namespace.
	Rootless bool
	// DefaultMapping is the ID mapping of layers and containers that are made
	// without one of their own or of a parent's.
	DefaultMapping Mapping
	// AutoUserns says where automatic ID mappings take their IDs from.
	AutoUserns AutoUserns
	// Limits cap what a layer's tar may make; a zero field means the default.
	Limits archive.Limits
	// MinFree is how many bytes of the graph root's file system have to stay free when
	// a layer comes in: with less, that fails like a full disk. 0: none.
	MinFree int64
	// Examine opens the store for Check and Repair also when something that is no file is in the
	// place of its storage.lock, which keeps everybody else out.
	Examine bool
	// Registry holds the drivers to choose from; nil means DefaultRegistry.
	Registry *graphdriver.Registry
	// Logger gets what is worth knowing but is not an error of a call; nil drops it.
	Logger *slog.Logger
}
