package overlay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/graphdriver"
)

// DiffGetter opens files of the layer's own directory, and for a copy with other owners those
// of the layers that it was copied from. Copies made by the other engines keep the content
// of others' tars, so what is not in a layer is looked for in its ancestors (on-disk
// format, 4.6); for layers that are no copies these are opened only when that happens.
func (d *driver) DiffGetter(ctx context.Context, id graphdriver.ID) (archive.FileGetCloser, error) {
	l, err := d.find(id)
	if err != nil {
		return nil, err
	}
	if err := l.plain(); err != nil {
		return nil, err
	}
	own, err := archive.OpenFiles(l.diff())
	if err != nil {
		return nil, fmt.Errorf("open files of layer %s: %w", id, err)
	}
	g := &fileGetter{own: own, open: sync.OnceValues(func() (archive.FileGetCloser, error) {
		return d.ancestorFiles(context.WithoutCancel(ctx), l)
	})}
	copies, err := l.copies()
	if err == nil && len(copies) > 0 {
		_, err = g.ancestors()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open files of layer %s: %w", id, err), g.Close())
	}
	return g, nil
}

func (d *driver) ancestorFiles(ctx context.Context, l layerDir) (archive.FileGetCloser, error) {
	below, err := d.ancestors(ctx, l)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, a := range below {
		dirs = append(dirs, a.diff())
	}
	return archive.OpenFiles(dirs...)
}

// fileGetter looks in the layer first. It is safe for concurrent use.
type fileGetter struct {
	own  archive.FileGetCloser
	open func() (archive.FileGetCloser, error) // opens the ancestors, once

	mu    sync.Mutex
	below archive.FileGetCloser // what open gave
}

func (g *fileGetter) ancestors() (archive.FileGetCloser, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	below, err := g.open()
	g.below = below
	return below, err
}

// Get implements archive.FileGetter.
func (g *fileGetter) Get(name string) (io.ReadCloser, error) {
	f, err := g.own.Get(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	below, openErr := g.ancestors()
	if openErr != nil {
		return nil, openErr
	}
	return below.Get(name)
}

// Close implements io.Closer.
func (g *fileGetter) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.own.Close()
	if g.below != nil {
		err = errors.Join(err, g.below.Close())
	}
	g.below = nil
	return err
}
