package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratastore/strata/graphdriver"
)

// Heal mends what the driver noted about the layers of chain, a layer followed by all its
// ancestors, nearest first, as the records have them. It rewrites lists that are lost, cut
// or unreadable, and links. Lists that are whole but say something else are left alone and
// are a *DamageError, as is what lies in a read-only store. It reports whether
// anything was changed.
//
// Call it when a method returned an errdefs.ErrCorrupt, while nobody else can create or
// delete layers.
func (d *driver) Heal(ctx context.Context, chain []graphdriver.ID) (changed bool, err error) {
	if err := d.mendLinks(ctx, true); err != nil {
		return false, err
	}
	h := healer{driver: d}
	for i, id := range slices.Backward(chain) {
		l, err := d.find(id)
		if err != nil {
			return h.changed, err
		}
		if err := h.layer(ctx, l, i == len(chain)-1, above(d, chain, i)); err != nil {
			return h.changed, fmt.Errorf("heal layer %s: %w", id, err)
		}
	}
	return h.changed, nil
}

// above is the layer that stands on chain[i]; the zero value for the top.
func above(d *driver, chain []graphdriver.ID, i int) layerDir {
	if i == 0 {
		return layerDir{}
	}
	l, err := d.find(chain[i-1])
	if err != nil {
		return layerDir{} // reported when it is its turn
	}
	return l
}

// healer goes through a chain from the base up.
type healer struct {
	*driver
	// below is the list of the last layer, and what the next one's has to be.
	below   []linkID
	changed bool
}

func (h *healer) layer(ctx context.Context, l layerDir, base bool, child layerDir) error {
	list, err := h.list(ctx, l, base)
	if err != nil {
		return err
	}
	link, err := h.name(ctx, l, child)
	if err != nil {
		return err
	}
	h.below = append([]linkID{link}, list...)
	return nil
}

// list returns the layer's list, after writing it if it has to be.
func (h *healer) list(ctx context.Context, l layerDir, base bool) ([]linkID, error) {
	list, err := l.lower()
	if err != nil && ignoreDamage(err) != nil {
		return nil, err
	}
	copies, copyErr := l.copies()
	if copyErr != nil {
		return nil, copyErr
	}
	whole, sameErr := h.fits(ctx, list, len(copies) > 0)
	switch {
	case sameErr != nil:
		return nil, sameErr
	case err == nil && whole:
		return list, h.markBase(l, list)
	case len(copies) > 0:
		return nil, damaged(l.path("lower"), errors.New("of a copy with other owners nobody knows what it was copied from"))
	case err == nil && !isPrefix(list, h.below):
		return nil, damaged(l.path("lower"), errors.New("it is whole, but contradicts the records"))
	case l.home.ReadOnly():
		return nil, damaged(l.path("lower"), errors.New("it is in a read-only store"))
	case base:
		return nil, h.makeBase(ctx, l)
	}
	h.changed = true
	h.log.WarnContext(ctx, "wrote a layer's damaged list of ancestors again", "layer", l.id, "ancestors", len(h.below))
	return h.below, h.writeNote(l.path("lower"), formatLower(h.below))
}

// fits reports whether list is what the layer below asks for. That of a copy with other
// owners has one more entry in front: what it was copied from.
func (h *healer) fits(ctx context.Context, list []linkID, isCopy bool) (bool, error) {
	if slices.Equal(list, h.below) || isCopy && len(list) > 0 && slices.Equal(list[1:], h.below) {
		return true, nil
	}
	if len(list) != len(h.below) {
		return false, nil
	}
	return h.sameLayers(ctx, list, h.below)
}

// markBase gives a layer without ancestors the directory that says so.
func (h *healer) markBase(l layerDir, list []linkID) error {
	if len(list) > 0 || l.home.ReadOnly() {
		return nil
	}
	has, err := l.has("empty")
	if err != nil || has {
		return err
	}
	h.changed = true
	return mkdir(l.path("empty"), 0o700)
}

// makeBase removes a damaged list of a layer that has no ancestors.
func (h *healer) makeBase(ctx context.Context, l layerDir) error {
	h.changed = true
	h.log.WarnContext(ctx, "removed a damaged list of ancestors from a layer that has none", "layer", l.id)
	if err := remove(l.path("lower")); err != nil {
		return err
	}
	return h.markBase(l, nil)
}

// name returns the layer's link. If it is lost altogether, the layer above may still know it.
func (h *healer) name(ctx context.Context, l, child layerDir) (linkID, error) {
	if link, err := l.link(); err == nil {
		return link, nil
	}
	h.changed = true
	link, known := h.nameAbove(child)
	if !known || l.home.ReadOnly() {
		return h.linkOf(ctx, l)
	}
	h.log.WarnContext(ctx, "gave a layer the lost name that the one above it knows", "layer", l.id, "link", link)
	if err := symlink(l, link); err != nil {
		return "", err
	}
	return link, h.writeNote(l.path("link"), string(link))
}

// nameAbove is the first name of the child's list, if it leads nowhere.
func (h *healer) nameAbove(child layerDir) (link linkID, known bool) {
	if child.id == "" {
		return "", false
	}
	list, err := child.lower()
	if err != nil || len(list) == 0 {
		return "", false
	}
	a, err := h.follow(list[0])
	return list[0], err == nil && a.id == ""
}
