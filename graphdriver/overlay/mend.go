package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// mendLinks makes the symbolic links and "link" files of the writable homes agree again
// (on-disk format, 4.4): links of another form go, missing links are made, and a layer whose
// own note is missing or wrong gets the name of a link that leads to it. It can run
// beside other processes that do the same. Without notes the layers' own notes stay as they
// are, and it can run beside the creation and deletion of layers, too.
func (d *driver) mendLinks(ctx context.Context, notes bool) error {
	for _, h := range d.homes {
		if h.ReadOnly() {
			continue
		}
		if err := d.mendLinksOf(ctx, h, notes); err != nil {
			return fmt.Errorf("mend links in %s: %w", h.linkDir(), err)
		}
	}
	return nil
}

func (d *driver) mendLinksOf(ctx context.Context, h home, notes bool) error {
	if err := mkdir(h.linkDir(), 0o755); err != nil {
		return err
	}
	names, wrong, err := h.links()
	if err != nil {
		return err
	}
	for _, name := range wrong {
		d.log.WarnContext(ctx, "removed a link that leads to no layer", "link", h.symlink(linkID(name)))
		if err := remove(h.symlink(linkID(name))); err != nil {
			return err
		}
	}
	ids, err := h.Layers()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.mendLink(ctx, h.layer(id), names[id], notes); err != nil {
			return err
		}
	}
	return d.syncDirs(h.linkDir())
}

// mendLink mends one layer; names are those of the links that lead to it. Layers above may know
// it by any of its names, so links are only added.
func (d *driver) mendLink(ctx context.Context, l layerDir, names []linkID, notes bool) error {
	own, err := l.link()
	if err != nil && ignoreDamage(err) != nil {
		return err
	}
	switch {
	case err == nil && slices.Contains(names, own):
		return nil
	case err == nil:
		d.log.WarnContext(ctx, "made a layer's lost link again", "layer", l.id, "link", own)
		return symlinkToLiving(l, own)
	case notes && len(names) > 0:
		d.log.WarnContext(ctx, "wrote a layer's lost link name again", "layer", l.id, "link", names[0])
		return d.writeNote(l.path("link"), string(names[0]))
	}
	return nil // nobody knows its name
}

// linkOf returns the layer's short name. A lost one is found by the symbolic link that leads
// to the layer; if there is none either, no other layer can refer to this one, and
// it gets a new name.
func (d *driver) linkOf(ctx context.Context, l layerDir) (linkID, error) {
	link, err := l.link()
	if err == nil || l.home.ReadOnly() || ignoreDamage(err) != nil {
		return link, err
	}
	names, _, err := l.home.links()
	if err != nil {
		return "", err
	}
	if err := d.mendLink(ctx, l, names[l.id], true); err != nil {
		return "", err
	}
	if len(names[l.id]) > 0 {
		return l.link()
	}
	link = newLinkID()
	d.log.WarnContext(ctx, "gave a layer without link a new one", "layer", l.id, "link", link)
	if err := symlinkToLiving(l, link); err != nil {
		return "", err
	}
	return link, d.writeNote(l.path("link"), string(link))
}

// writeNote replaces one of the small files.
func (d *driver) writeNote(path, text string) error {
	_, err := atomicfile.Write(path, []byte(text), atomicfile.Options{Mode: 0o644, NoSync: !d.durable()})
	return err
}

// symlink makes the layer's link in l/. One that is there already is success if it is right.
func symlink(l layerDir, link linkID) error {
	path := l.home.symlink(link)
	err := os.Symlink(target(l.id), path)
	if errors.Is(err, fs.ErrExist) {
		if text, readErr := os.Readlink(path); readErr == nil && text == target(l.id) {
			return nil
		}
	}
	return err
}

// symlinkToLiving is symlink for a layer that may be deleted meanwhile: its link must not
// outlive it. Who deletes a layer removes its link once more when its directory has gone.
func symlinkToLiving(l layerDir, link linkID) error {
	if err := faults.Hit("overlay.mend.link", l.home.path); err != nil {
		return err
	}
	if err := symlink(l, link); err != nil {
		return err
	}
	exists, err := l.exists()
	if err == nil && !exists {
		err = removeLink(l, link)
	}
	return err
}

// mkdir makes a directory if it is not there; the umask is the process's.
func mkdir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// remove deletes a file, link or empty directory that may be gone.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
