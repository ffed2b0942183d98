package strata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// mend makes a record say what is proven.
func (r *repairer) mend(ctx context.Context, f Finding) error {
	if f.Problem == ProblemClash {
		return ignoreGone(r.settleClash(ctx, f))
	}
	if f.Problem == ProblemLayerWrong && f.Kind == KindContainer {
		return ignoreGone(r.change(ctx, func(t *tx) error { return t.writeContainers.SetLayer(container.ID(f.ID), f.Layer) }))
	}
	if f.Kind == KindContainer {
		return r.recordItem(ctx, f)
	}
	return ignoreGone(r.proven(ctx, f))
}

func (r *repairer) proven(ctx context.Context, f Finding) error {
	switch {
	case f.Problem == ProblemLayerWrong && f.Kind == KindImage:
		return r.change(ctx, func(t *tx) error { return t.writeImages.SetTopLayer(image.ID(f.ID), f.Layer) })
	case f.Problem == ProblemDiffIDMissing:
		return r.setDiffID(ctx, f)
	case f.Kind == KindImage:
		return r.change(ctx, func(t *tx) error { return t.mendImage(ctx, f) })
	case f.Problem == ProblemParentWrong:
		return r.change(ctx, func(t *tx) error { return t.writeLayers.SetParent(layer.ID(f.ID), f.Layer) })
	}
	size, err := strconv.ParseInt(f.Got, 10, 64)
	if err != nil {
		return err
	}
	return r.change(ctx, func(t *tx) error { return t.writeLayers.SetDiffSize(layer.ID(f.ID), size) })
}

// change does something to the records and saves them.
func (r *repairer) change(ctx context.Context, do func(*tx) error) (err error) {
	t, err := r.store.begin(ctx, everything)
	if err != nil {
		return err
	}
	defer t.end(&err)
	if err := do(t); err != nil {
		return err
	}
	return t.commit(ctx)
}

// mendImage takes sizes and digests from the items, if those are what the record, or the
// item's own name, says they are.
func (t *tx) mendImage(ctx context.Context, f Finding) error {
	i, err := t.images.Get(image.ID(f.ID))
	if err != nil {
		return err
	}
	if f.Problem == ProblemDataUnrecorded {
		return t.recordLost(ctx, i, f.Item)
	}
	if f.Item == "" {
		return t.writeImages.SetDigest(i.ID, validDigest(i.BigDataDigests[image.ManifestKey]))
	}
	data, err := bigdata.Read(ctx, t.images.DataDir(i), f.Item)
	if err != nil {
		return err
	}
	got := digest.FromBytes(data)
	if got != i.BigDataDigests[f.Item] && !named(f.Item, got) {
		return fmt.Errorf("data item %q of image %s is not what it was: %w", f.Item, i.ID, errdefs.ErrCorrupt)
	}
	return t.writeImages.RecordItem(i.ID, f.Item, int64(len(data)), got)
}

// validDigest is d, or "" if that is none.
func validDigest(d digest.Digest) digest.Digest {
	if d.Validate() != nil {
		return ""
	}
	return d
}

// relink has the driver write its notes again. Notes that are whole but wrong are taken away
// first, those of all layers before the first layer is dealt with: its notes are made of
// theirs.
func (r *repairer) relink(ctx context.Context, id layer.ID) error {
	if !r.cleared {
		r.cleared = true
		if err := r.clearNotes(ctx); err != nil {
			return err
		}
	}
	_, err := r.store.layers.Relink(ctx, id)
	return err
}

func (r *repairer) clearNotes(ctx context.Context) error {
	e, err := r.store.examine(ctx, nil)
	if err != nil || !e.layers {
		return err
	}
	c := &checker{store: r.store, exam: e, layersOf: e.layerIndex(), imagesOf: e.imageIndex()}
	table, err := r.store.links(e.snap.Layers)
	if err != nil {
		return err
	}
	if err := r.clearLinkFolders(); err != nil {
		return err
	}
	var errs []error
	for _, f := range r.report.Findings {
		l := c.layersOf[layer.ID(f.ID)]
		if f.Kind != KindLayer || f.Repair != RepairRelink || l == nil {
			continue
		}
		if p, err := r.store.place(l.ID); err == nil && !p.home.readOnly {
			errs = append(errs, r.clearNotFiles(l, p), r.clearLink(table, l, p), r.clearLower(c, table, l, p))
		}
	}
	return errors.Join(errs...)
}

// clearLinkFolders takes away what is in the place of the folder of short links, and makes the
// folder again. What a symbolic link there leads to stays as it is.
func (r *repairer) clearLinkFolders() error {
	if r.store.driver.name != overlayDriver {
		return nil
	}
	for _, home := range r.store.driverHomes() {
		if home.readOnly || !linksElsewhere(home.path) {
			continue
		}
		folder := filepath.Join(home.path, "l")
		err := r.trash.keep("notes", folder) // also with Discard: it is but a name
		if err == nil {
			err = os.Mkdir(folder, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clearNotFiles takes away what is no file in the place of a note, and what is no link in that of
// the short link: the driver could not replace it.
func (r *repairer) clearNotFiles(l *layer.Layer, p layerPlace) error {
	object := "notes-" + string(l.ID)
	var errs []error
	name, _ := atomicfile.Read(filepath.Join(p.dir, "link")) // without one, the driver finds the link
	for _, note := range []string{"link", "lower"} {
		path := filepath.Join(p.dir, note)
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			errs = append(errs, r.putAway(object, path))
		}
	}
	short := strings.TrimRight(string(name), "\n")
	if len(short) == linkLength && !strings.Contains(short, "/") {
		path := filepath.Join(p.home.path, "l", short)
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSymlink {
			errs = append(errs, r.putAway(object, path))
		}
	}
	return errors.Join(errs...)
}

// clearLink takes away a short name that is another layer's, or a link that leads to another layer than the one
// that has its name.
func (r *repairer) clearLink(t *linkTable, l *layer.Layer, p layerPlace) error {
	text, err := atomicfile.Read(filepath.Join(p.dir, "link"))
	name := strings.TrimRight(string(text), "\n")
	other := t.linked[name]
	if err != nil || len(name) != linkLength || strings.Contains(name, "/") || other == "" || other == l.ID {
		return nil //nolint:nilerr // the driver deals with what is lost or cut
	}
	theirs, err := atomicfile.Read(filepath.Join(p.home.path, string(other), "link"))
	if err == nil && strings.TrimRight(string(theirs), "\n") == name {
		return r.keep("notes-"+string(l.ID), filepath.Join(p.dir, "link"))
	}
	return r.keep("notes-"+string(l.ID), filepath.Join(p.home.path, "l", name))
}

// clearLower takes away a list of ancestors that contradicts records which are proven.
func (r *repairer) clearLower(c *checker, t *linkTable, l *layer.Layer, p layerPlace) error {
	if len(p.copies) > 0 || c.lowerReason(t, l, p) == "" || !c.proven(l) {
		return nil
	}
	return r.keep("notes-"+string(l.ID), filepath.Join(p.dir, "lower"))
}

// rounds bounds how often a repair looks at what it has brought to light.
const rounds = 3

// follow cures what the repair itself brought to light or left behind: names and records are
// looked at again, contents are not.
func (r *repairer) follow(ctx context.Context, out *RepairReport) error {
	seen := map[Finding]bool{}
	for _, f := range r.report.Findings {
		seen[f.about()] = true
	}
	for range rounds {
		report, err := r.store.Check(ctx, CheckOptions{Quick: true})
		if err != nil {
			return err
		}
		var fresh []Finding
		for _, f := range report.Findings {
			if !seen[f.about()] {
				seen[f.about()] = true
				fresh = append(fresh, f)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		r.report, r.cleared = report, false
		if err := r.all(ctx, fresh, out); err != nil {
			return err
		}
	}
	return nil
}

// about is what identifies a finding.
func (f Finding) about() Finding {
	return Finding{Kind: f.Kind, ID: f.ID, Problem: f.Problem, Item: f.Item, Path: f.Path, Layer: f.Layer, Image: f.Image, Name: f.Name}
}
