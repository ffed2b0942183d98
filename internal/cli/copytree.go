package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/rootfd"
	"github.com/stratastore/strata/layer"
)

// tree is where an operand of copy lies: a mounted layer, or the file system here.
type tree struct {
	root    *rootfd.Root
	path    string
	mapping idmap.Mapping
	// unmount undoes the mount; nil for what was not mounted.
	unmount func(context.Context) error
}

// copyMounts holds the trees of one copy, each mounted once.
type copyMounts struct {
	c     *Call
	store *strata.Store
	trees map[string]*tree
}

// operand reads an argument and opens its tree. What stands before the first colon
// names a layer.
func (m *copyMounts) operand(ctx context.Context, text string, target bool) (operand, error) {
	name, path, inLayer := strings.Cut(text, ":")
	if !inLayer {
		abs, err := filepath.Abs(text)
		if err != nil {
			return operand{}, err
		}
		if strings.HasSuffix(text, "/.") || text == "." {
			abs += "/."
		}
		t, err := m.tree(ctx, "", func() (*tree, error) { return &tree{path: "/"}, nil })
		return operand{text, abs, t}, err
	}
	t, err := m.tree(ctx, name, func() (*tree, error) { return m.mount(ctx, name, target) })
	return operand{text, path, t}, err
}

// tree opens a tree once; find says where it is.
func (m *copyMounts) tree(ctx context.Context, name string, find func() (*tree, error)) (*tree, error) {
	if t, ok := m.trees[name]; ok {
		return t, nil
	}
	t, err := find()
	if err != nil {
		return nil, err
	}
	if t.root, err = rootfd.Open(t.path, rootfd.Options{}); err != nil {
		if t.unmount != nil {
			err = errorsJoin(err, t.unmount(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	m.trees[name] = t
	return t, nil
}

// mount mounts what an operand names. The old command knows layers only.
func (m *copyMounts) mount(ctx context.Context, name string, target bool) (*tree, error) {
	l, err := m.store.Layer(ctx, name)
	if errors.Is(err, layer.ErrUnknown) && !m.c.classic() {
		return m.mountOther(ctx, name, target)
	}
	if err != nil {
		return nil, &findLayerError{name, err}
	}
	mapping := l.Mapping()
	if ctr, err := m.store.ContainerByLayer(ctx, l.ID); err == nil {
		mapping = ctr.Mapping()
	} else if target && l.DiffID != "" && !m.c.classic() {
		m.c.Warn(fmt.Sprintf("layer %s came as a tar: with other files in it, it no longer has its recorded digest", l.ID))
	}
	return m.mountWritable(ctx, string(l.ID), mapping, target)
}

// mountOther mounts a container, or, as a source, an image.
func (m *copyMounts) mountOther(ctx context.Context, name string, target bool) (*tree, error) {
	ctr, err := m.store.Container(ctx, name)
	if err == nil {
		return m.mountWritable(ctx, string(ctr.ID), ctr.Mapping(), target)
	}
	if !errors.Is(err, errdefs.ErrNotFound) {
		return nil, &findLayerError{name, err}
	}
	img, imgErr := m.store.Image(ctx, m.c.image(ctx, m.store, name))
	switch {
	case imgErr != nil && errors.Is(imgErr, errdefs.ErrNotFound):
		return nil, &findLayerError{name, err}
	case imgErr != nil:
		return nil, &findLayerError{name, imgErr}
	case target:
		return nil, usagef("make a container of it, copy into that, and commit it", "%s is an image: files can be copied out of it, not into it", name)
	}
	top, err := m.store.Layer(ctx, string(img.TopLayer))
	if err != nil {
		return nil, err
	}
	b, err := m.store.BorrowImage(ctx, string(img.ID), strata.BorrowOptions{})
	return borrowed(b, top.Mapping(), err)
}

func (m *copyMounts) mountWritable(ctx context.Context, id string, mapping idmap.Mapping, target bool) (*tree, error) {
	b, err := m.store.Borrow(ctx, id, strata.BorrowOptions{Into: target})
	return borrowed(b, mapping, err)
}

func borrowed(b *strata.Borrowed, mapping idmap.Mapping, err error) (*tree, error) {
	if err != nil {
		return nil, err
	}
	return &tree{path: b.Path, mapping: mapping, unmount: b.Release}, nil
}

// close lets go of all trees, also after a cancelled copy.
func (m *copyMounts) close(ctx context.Context) error {
	var err error
	for _, t := range m.trees {
		err = errorsJoin(err, t.close(context.WithoutCancel(ctx)))
	}
	return err
}

func (t *tree) close(ctx context.Context) error {
	err := t.root.Close()
	if t.unmount != nil {
		err = errorsJoin(err, t.unmount(ctx))
	}
	return err
}

// findLayerError says that an operand names nothing, or why that is not known.
type findLayerError struct {
	name string
	err  error
}

func (e *findLayerError) Error() string {
	if !errors.Is(e.err, errdefs.ErrNotFound) {
		return fmt.Sprintf("look for %s: %v", quoteWord(e.name), e.err)
	}
	return fmt.Sprintf("%s: no layer, container or image has this ID or name", quoteWord(e.name))
}

// ReferenceText is the old command's wording.
func (e *findLayerError) ReferenceText() string {
	return fmt.Sprintf("error finding layer %q: %v", e.name, e.err)
}

func (e *findLayerError) Unwrap() error { return e.err }

func (e *findLayerError) namesObject() {}

// Hint tells how a file with a colon in its name is given.
func (e *findLayerError) Hint() string {
	if !errors.Is(e.err, errdefs.ErrNotFound) {
		return ""
	}
	return "what stands before a colon names a layer; `strata layers` and `strata containers` list them"
}
