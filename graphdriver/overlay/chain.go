package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// ancestor is a layer below another one, with the name that it goes by there.
type ancestor struct {
	layerDir
	link linkID
	// linked: l/ has the symbolic link. It may lack in read-only stores.
	linked bool
}

// ancestors returns the layers below l, nearest first. Missing symbolic links are made again
// on the way. A list that was cut or lost is a *DamageError: nothing may be mounted with some
// of its ancestors left out.
func (d *driver) ancestors(ctx context.Context, l layerDir) ([]ancestor, error) {
	list, err := d.checkedLower(ctx, l)
	if err != nil {
		return nil, err
	}
	found := make([]ancestor, 0, len(list))
	for _, link := range list {
		a, err := d.resolve(ctx, link)
		if err != nil {
			return nil, fmt.Errorf("ancestors of layer %s: %w", l.id, err)
		}
		found = append(found, a)
	}
	return found, nil
}

// checkedLower reads the layer's list and holds it against what its nearest and its
// furthest ancestor say of themselves, which shows a list that was cut between two entries.
func (d *driver) checkedLower(ctx context.Context, l layerDir) ([]linkID, error) {
	list, err := l.lower()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, l.base()
	}
	if err := d.agrees(ctx, l, list); err != nil {
		return nil, err
	}
	return list, d.endsAtBase(ctx, l, list)
}

// base makes sure that a layer without a list has never had one: then it was given a
// directory to stand on.
func (l layerDir) base() error {
	if l.home.ReadOnly() {
		return nil // nobody could mend it there, and very old layers have none
	}
	empty, err := l.has("empty")
	if err == nil && !empty {
		err = damaged(l.path("lower"), errors.New("missing, and the layer is not marked as one without ancestors"))
	}
	return err
}

// agrees compares the list with that of the nearest ancestor. An ancestor whose own list is
// damaged proves nothing; it is reported when it is used itself.
func (d *driver) agrees(ctx context.Context, l layerDir, list []linkID) error {
	parent, err := d.resolve(ctx, list[0])
	if err != nil {
		return fmt.Errorf("ancestors of layer %s: %w", l.id, err)
	}
	below, err := parent.lower()
	if err != nil || slices.Equal(below, list[1:]) || isPrefix(below, list[1:]) {
		return ignoreDamage(err)
	}
	same, err := d.sameLayers(ctx, below, list[1:])
	if err == nil && !same {
		err = damaged(l.path("lower"), fmt.Errorf("it has %d entries below %s, whose own list has %d others", len(list)-1, parent.id, len(below)))
	}
	return err
}

// endsAtBase makes sure that the last ancestor has none itself. A damaged list of its own is
// still a sign of ancestors.
func (d *driver) endsAtBase(ctx context.Context, l layerDir, list []linkID) error {
	last, err := d.resolve(ctx, list[len(list)-1])
	if err != nil {
		return fmt.Errorf("ancestors of layer %s: %w", l.id, err)
	}
	below, err := last.lower()
	if err == nil && len(below) > 0 {
		err = damaged(l.path("lower"), fmt.Errorf("it ends at layer %s, which has %d ancestors", last.id, len(below)))
	}
	return err
}

func ignoreDamage(err error) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		return nil
	}
	return err
}

func isPrefix(short, long []linkID) bool {
	return len(short) < len(long) && slices.Equal(short, long[:len(short)])
}

// sameLayers compares two lists by the layers that the links lead to: a layer may go by
// several names.
func (d *driver) sameLayers(ctx context.Context, a, b []linkID) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		x, err := d.resolve(ctx, a[i])
		if err != nil {
			return false, err
		}
		y, err := d.resolve(ctx, b[i])
		if err != nil || x.id != y.id {
			return false, err
		}
	}
	return true, nil
}

// resolve finds the layer that a link leads to, in the order of the homes (on-disk format,
// 4.3). When no home has the link, those that may be written to are mended and looked at
// again, and read-only ones are searched by the layers' own notes. The caller may hold no
// lock that keeps others from creating and deleting layers.
func (d *driver) resolve(ctx context.Context, link linkID) (ancestor, error) {
	a, err := d.follow(link)
	if a.id != "" || err != nil {
		return a, err
	}
	if err := d.mendLinks(ctx, false); err != nil {
		return ancestor{}, err
	}
	if a, err = d.follow(link); a.id != "" || err != nil {
		return a, err
	}
	if a, err = d.search(ctx, link); a.id != "" || err != nil {
		return a, err
	}
	return ancestor{}, damaged(d.homes[0].symlink(link), errors.New("missing, and no layer goes by that name"))
}

// follow reads the symbolic link; the zero ancestor if no home has it.
func (d *driver) follow(link linkID) (ancestor, error) {
	for _, h := range d.homes {
		text, err := os.Readlink(h.symlink(link))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EINVAL) {
			continue
		}
		if err != nil {
			return ancestor{}, fmt.Errorf("follow link: %w", err)
		}
		id, ok := parseTarget(text)
		if !ok {
			continue
		}
		l := h.layer(id)
		if exists, err := l.exists(); exists || err != nil {
			return ancestor{layerDir: l, link: link, linked: true}, err
		}
	}
	return ancestor{}, nil
}

// search looks for a layer that calls itself link in the read-only homes.
func (d *driver) search(ctx context.Context, link linkID) (ancestor, error) {
	for _, h := range d.homes {
		if !h.ReadOnly() {
			continue
		}
		ids, err := h.Layers()
		if err != nil {
			return ancestor{}, err
		}
		for _, id := range ids {
			if err := ctx.Err(); err != nil {
				return ancestor{}, err
			}
			l := h.layer(id)
			if own, err := l.link(); err == nil && own == link {
				return ancestor{layerDir: l, link: link}, nil
			}
		}
	}
	return ancestor{}, nil
}

// dirs are the directories that the ancestor adds to a mount, topmost first: its content, by
// its short name, and older copies of it.
func (a ancestor) dirs() ([]string, error) {
	top := a.diff()
	if a.linked {
		top = a.home.symlink(a.link)
	}
	copies, err := a.copies()
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", a.id, err)
	}
	return append([]string{top}, copies...), nil
}

// lowerDirs are the directories of all ancestors, topmost first.
func lowerDirs(list []ancestor) (dirs []string, err error) {
	for _, a := range list {
		if err := a.plain(); err != nil {
			return nil, err
		}
		own, err := a.dirs()
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, own...)
	}
	return dirs, nil
}
