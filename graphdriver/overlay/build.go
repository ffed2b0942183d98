package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
)

// oldMaxDepth is what engines of the older generation can mount.
const oldMaxDepth = 128

// plan is everything about a new layer that does not depend on its ID.
type plan struct {
	home home
	link linkID
	// lower are the ancestors, nearest first.
	lower []linkID
	// root is the mode and owner of diff.
	root rootAttr
	// uid and gid own what is around diff: the mapped root.
	uid, gid int
}

// plan looks at the parent ("" for none) and settles what the layer will be.
func (d *driver) plan(ctx context.Context, parent graphdriver.ID, opts graphdriver.CreateOptions) (*plan, error) {
	if err := d.checkStorageOpt(opts); err != nil {
		return nil, err
	}
	uid, gid, err := opts.Mapping.RootPair()
	if err != nil {
		return nil, err
	}
	p := &plan{home: d.homes.For(opts), link: newLinkID(), uid: uid, gid: gid}
	p.root = rootAttr{mode: 0o555, uid: uid, gid: gid}
	if parent == "" {
		return p, nil
	}
	l, err := d.find(parent)
	if err != nil {
		return nil, fmt.Errorf("parent: %w", err)
	}
	if err := d.standOn(ctx, p, l); err != nil {
		return nil, err
	}
	p.root.uid, p.root.gid = opts.Move().Owner(p.root.uid, p.root.gid)
	return p, nil
}

// standOn takes over what a layer has from its parent.
func (d *driver) standOn(ctx context.Context, p *plan, parent layerDir) error {
	if err := parent.plain(); err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	link, err := d.linkOf(ctx, parent)
	if err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	below, err := d.ancestors(ctx, parent)
	if err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	p.lower = []linkID{link}
	for _, a := range below {
		p.lower = append(p.lower, a.link)
	}
	if err := d.checkDepth(ctx, p); err != nil {
		return err
	}
	if p.root, err = readRoot(parent.diff()); err != nil {
		return fmt.Errorf("root directory of parent: %w", err)
	}
	return nil
}

// checkDepth refuses what the kernel could not merge.
func (d *driver) checkDepth(ctx context.Context, p *plan) error {
	if len(p.lower) > mountapi.MaxLowers {
		return fmt.Errorf("layer with %d ancestors, the kernel merges %d: %w", len(p.lower), mountapi.MaxLowers, errdefs.ErrLimit)
	}
	if len(p.lower) == oldMaxDepth+1 {
		d.log.WarnContext(ctx, "engines of the older generation can not mount a layer with this many ancestors", "ancestors", len(p.lower))
	}
	return nil
}

// checkStorageOpt refuses per-layer options: limits are XFS project quotas, which strata does
// not set.
func (d *driver) checkStorageOpt(opts graphdriver.CreateOptions) error {
	for key := range opts.StorageOpt {
		if key == "size" || key == "inodes" {
			return fmt.Errorf("storage option %q of a layer: strata sets no quotas: %w", key, errdefs.ErrUnsupported)
		}
		return fmt.Errorf("overlay has no storage option %q for a layer: %w", key, errdefs.ErrInvalid)
	}
	if !opts.Image && d.settings.size+d.settings.inodes > 0 {
		return errdefs.WithHint(fmt.Errorf("writable layer with a size or inodes limit: strata sets no quotas: %w", errdefs.ErrUnsupported),
			"take size and inodes out of [storage.options.overlay], or make containers with an engine that sets them")
	}
	return nil
}

// build makes the layer's directories and notes at dir, which must not exist. They are in the
// order of the other engines (on-disk format, 4.2), except for the symbolic link, for
// which named is called at its place.
func (d *driver) build(p *plan, dir string, named func() error) error {
	if err := d.makeDir(dir, p); err != nil {
		return err
	}
	if err := d.makeRoot(filepath.Join(dir, "diff"), p); err != nil {
		return err
	}
	if err := named(); err != nil {
		return err
	}
	if err := newNote(filepath.Join(dir, "link"), string(p.link)); err != nil {
		return err
	}
	names := []string{"work", "merged"}
	if len(p.lower) == 0 {
		names = append(names, "empty")
	}
	for _, name := range names {
		if err := d.makeDir(filepath.Join(dir, name), p); err != nil {
			return err
		}
	}
	if len(p.lower) == 0 {
		return nil
	}
	return newNote(filepath.Join(dir, "lower"), formatLower(p.lower))
}

// makeDir makes a private directory of the mapped root.
func (d *driver) makeDir(path string, p *plan) error {
	if err := faults.Hit("overlay.mkdir", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return d.chown(path, p.uid, p.gid)
}

func (d *driver) makeRoot(path string, p *plan) error {
	if err := faults.Hit("overlay.root", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if d.settings.forceMask != nil {
		return p.root.override(path, *d.settings.forceMask)
	}
	if err := d.chown(path, p.root.uid, p.root.gid); err != nil {
		return err
	}
	return unix.Chmod(path, p.root.mode)
}

// chown sets an owner that a new directory of this process would not have anyway.
func (d *driver) chown(path string, uid, gid int) error {
	if uid == os.Geteuid() && gid == os.Getegid() {
		return nil
	}
	err := os.Lchown(path, uid, gid)
	if d.settings.ignoreChownErrors {
		return nil
	}
	return err
}

// newNote writes a small file that is not there yet.
func newNote(path, text string) error {
	if err := faults.Hit("overlay.note", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // on-disk format, 1.1
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Create makes an empty layer in its place. An error leaves nothing of it. A layer with
// copies in it is staged and adopted at once.
func (d *driver) Create(ctx context.Context, id, parent graphdriver.ID, opts graphdriver.CreateOptions) error {
	if err := d.free(id); err != nil {
		return err
	}
	if opts.Reown != nil {
		return d.createCopy(ctx, id, parent, opts)
	}
	unlock, err := d.locks.Lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := d.plan(ctx, parent, opts)
	if err != nil {
		return err
	}
	return d.create(p, id)
}

func (d *driver) create(p *plan, id graphdriver.ID) error {
	l := p.home.layer(id)
	if err := d.free(id); err != nil {
		return err
	}
	if err := mkdir(p.home.linkDir(), 0o755); err != nil {
		return err
	}
	err := d.build(p, l.dir(), func() error { return nameLayer(p.home, p.link, id) })
	if err == nil {
		err = d.syncNew(l, len(p.lower) > 0)
	}
	if err == nil || errors.Is(err, fs.ErrExist) && !d.ours(p, l) {
		return err
	}
	return errors.Join(err, remove(p.home.symlink(p.link)), os.RemoveAll(l.dir()))
}

// ours tells a directory that create has begun from one that another process made at the
// same time.
func (d *driver) ours(p *plan, l layerDir) bool {
	text, err := os.Readlink(p.home.symlink(p.link))
	return err == nil && text == target(l.id)
}

// free is an ErrExists if there is such a layer. One of a read-only store does not count.
func (d *driver) free(id graphdriver.ID) error {
	if probeDirs.MatchString(string(id)) {
		return fmt.Errorf("layer ID %q is a name of overlay's own: %w", string(id), errdefs.ErrInvalid)
	}
	return d.homes.Free(id)
}
