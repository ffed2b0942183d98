package graphdriver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/stratastore/strata/archive"
)

// NaiveOptions tune NaiveDiff. The zero value is right for a privileged driver
// whose layers are mounted by Get.
type NaiveOptions struct {
	// IgnoreChownErrors lets ApplyDiff go on when an owner can not be set.
	IgnoreChownErrors bool
	// NoDevices makes ApplyDiff skip device nodes (rootless).
	NoDevices bool
	// ApplyRoot lets an entry for the layer's root directory set its mode, owner and times.
	ApplyRoot bool
	// Logger gets a line for every file that a diff has to leave out.
	Logger *slog.Logger
}

// NaiveDiff turns p into a Driver whose tars come from comparing mounted trees: right for
// every driver, and as slow as reading two trees. Diffs are computed, so they are not the
// bytes that were applied. Optional powers of p are hidden by the wrapping: a driver that
// has some embeds the result's Differ beside its own methods.
//
// Every Get is matched by a Put on every path. Diff against a parent puts the parent as soon
// as the trees are compared; the layer itself is put when the stream is closed.
// What counts as a change, and that equal trees give equal bytes on every driver, is
// archive.Compare's and archive.PackChanges' promise.
func NaiveDiff(p ProtoDriver, opts NaiveOptions) Driver {
	return &naive{ProtoDriver: p, opts: opts}
}

// putTimeout bounds the clean-up after a cancelled call.
const putTimeout = time.Minute

type naive struct {
	ProtoDriver
	opts NaiveOptions
}

func (n *naive) Diff(ctx context.Context, id, parent ID, opts DiffOptions) (io.ReadCloser, error) {
	dir, put, err := n.get(ctx, id, MountOptions{MountLabel: opts.MountLabel, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	pack := archive.PackOptions{Mapping: opts.Mapping, Logger: n.opts.Logger}
	if parent == "" {
		return stream(ctx, func(ctx context.Context, w io.Writer) error { return archive.Pack(ctx, w, dir, pack) }, put), nil
	}
	changes, err := n.compare(ctx, dir, parent, opts)
	if err != nil {
		return nil, errors.Join(err, put())
	}
	return stream(ctx, func(ctx context.Context, w io.Writer) error {
		return archive.PackChanges(ctx, w, dir, changes, pack)
	}, put), nil
}

func (n *naive) Changes(ctx context.Context, id, parent ID, opts DiffOptions) (changes []archive.Change, err error) {
	err = n.with(ctx, id, MountOptions{MountLabel: opts.MountLabel, ReadOnly: true}, func(dir string) error {
		changes, err = n.compare(ctx, dir, parent, opts)
		return err
	})
	return changes, err
}

func (n *naive) DiffSize(ctx context.Context, id, parent ID, opts DiffOptions) (size int64, err error) {
	err = n.with(ctx, id, MountOptions{MountLabel: opts.MountLabel, ReadOnly: true}, func(dir string) error {
		size, err = n.size(ctx, dir, parent, opts)
		return err
	})
	return size, err
}

func (n *naive) size(ctx context.Context, dir string, parent ID, opts DiffOptions) (int64, error) {
	if parent == "" {
		return archive.TreeSize(ctx, dir)
	}
	changes, err := n.compare(ctx, dir, parent, opts)
	if err != nil {
		return 0, err
	}
	return archive.ChangesSize(ctx, dir, changes)
}

func (n *naive) ApplyDiff(ctx context.Context, id, _ ID, diff io.Reader, opts ApplyOptions) (size int64, err error) {
	err = n.with(ctx, id, MountOptions{}, func(dir string) error {
		size, err = archive.Extract(ctx, dir, diff, archive.ExtractOptions{
			Whiteouts: archive.WhiteoutNone, Mapping: opts.Mapping, Limits: opts.Limits,
			IgnoreChownErrors: n.opts.IgnoreChownErrors, NoDevices: n.opts.NoDevices, ApplyRoot: n.opts.ApplyRoot,
		})
		return err
	})
	return size, err
}

// compare lists what dir, a mounted layer, changed against parent, which is mounted for
// just that long.
func (n *naive) compare(ctx context.Context, dir string, parent ID, opts DiffOptions) (changes []archive.Change, err error) {
	how := archive.CompareOptions{Mapping: opts.Mapping, BaseMapping: opts.ParentMapping}
	if parent == "" {
		return archive.Compare(ctx, dir, "", how)
	}
	err = n.with(ctx, parent, MountOptions{MountLabel: opts.MountLabel, ReadOnly: true}, func(base string) error {
		changes, err = archive.Compare(ctx, dir, base, how)
		return err
	})
	return changes, err
}

// with runs f on the mounted layer and puts it afterwards, whatever happened.
func (n *naive) with(ctx context.Context, id ID, opts MountOptions, f func(dir string) error) error {
	dir, put, err := n.get(ctx, id, opts)
	if err != nil {
		return err
	}
	return errors.Join(f(dir), put())
}

// get mounts a layer; put undoes it, also after ctx was cancelled.
func (n *naive) get(ctx context.Context, id ID, opts MountOptions) (dir string, put func() error, err error) {
	dir, err = n.Get(ctx, id, opts)
	if err != nil {
		return "", nil, err
	}
	put = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
		defer cancel()
		return n.Put(ctx, id)
	}
	return dir, put, nil
}
