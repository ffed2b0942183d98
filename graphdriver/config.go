package graphdriver

import (
	"context"
	"log/slog"
)

// Init opens a driver. It makes the directories that the driver needs, probes what the
// host can do, and sweeps what killed processes left behind. An error that
// IsNotSupported recognises means that this host can not run the driver.
type Init func(ctx context.Context, cfg Config) (Driver, error)

// Config is what a driver is opened with. Paths are absolute and clean.
type Config struct {
	// Root is the graph root; Home is Root/<driver>, where the layers are.
	Root, Home string
	// RunHome is <run root>/<driver>, for what may vanish with a reboot.
	RunHome string
	// ImageHome is <image store>/<driver>; "" when layers of images are kept in Home.
	ImageHome string
	// AdditionalHomes are the <driver> directories of read-only stores, in lookup
	// order. Nothing is ever written there.
	AdditionalHomes []string
	// Options are this driver's own, prefixes removed, in the order given.
	Options []Option
	// Logger gets warnings; nil means none are kept.
	Logger *slog.Logger
	// Sync says how durable layers are. A driver's "sync" option overrides it.
	Sync SyncMode
	// Rootless: this process lacks the privileges of the host's root, so devices and
	// trusted xattrs are out of reach.
	Rootless bool
	// DisableIDMap: behave as if the kernel had no idmapped mounts.
	DisableIDMap bool
}

// Log returns the logger, never nil.
func (c Config) Log() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// SyncMode says what is flushed to the disk before a layer counts as made.
type SyncMode int

// The sync modes. The texts are those of storage.conf's "sync" option.
const (
	// SyncFilesystem flushes the file system once before a staged layer is adopted,
	// and the directories of every rename. The default.
	SyncFilesystem SyncMode = iota
	// SyncNone leaves it to the kernel: after a power cut layers may be empty.
	SyncNone
)
