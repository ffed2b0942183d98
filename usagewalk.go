package strata

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratastore/strata/layer"
)

// measure walks what is not known, and adds up the roots.
func (u *usage) measure(ctx context.Context) error {
	if err := u.measureLayers(ctx); err != nil {
		return err
	}
	if err := u.measureObjects(ctx); err != nil {
		return err
	}
	for _, root := range u.store.roots.writableRoots() {
		if err := u.measureRoot(ctx, root); err != nil {
			return err
		}
	}
	t := &u.totals
	t.Total = t.Layers + t.Images + t.Containers + t.Records + t.Engines + t.Unaccounted
	return nil
}

// measureLayers fills in the sizes of all layers; only those that are written count
// in the totals.
func (u *usage) measureLayers(ctx context.Context) error {
	cache := u.store.loadUsage(ctx)
	old := cache.Layers[u.store.driver.name]
	sizes := map[layer.ID]knownSize{}
	for id, l := range u.layersOf {
		if err := ctx.Err(); err != nil {
			return err
		}
		state, quiet := u.store.state(ctx, l)
		if was, ok := old[id]; ok && quiet && was.same(state) {
			state.Bytes = was.Bytes
		} else {
			u.walked++
			n, err := u.walkLayer(ctx, l)
			if err != nil {
				return err
			}
			state.Bytes = n
			after, stillQuiet := u.store.state(ctx, l)
			quiet = quiet && stillQuiet && after.same(state)
		}
		u.layers[id] = state.Bytes
		if quiet {
			sizes[id] = state
		}
		if !l.ReadOnly {
			u.totals.Layers += state.Bytes
		}
	}
	if u.walked > 0 || len(old) != len(sizes) {
		cache.Layers[u.store.driver.name] = sizes
		u.store.saveUsage(ctx, cache)
	}
	return nil
}

// walkLayer adds up the driver's directory, the tar-split and the data items.
func (u *usage) walkLayer(ctx context.Context, l *layer.Layer) (int64, error) {
	var use diskUse
	paths, err := u.layerPaths(l)
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		if err := use.add(ctx, path, nil); err != nil {
			return 0, err
		}
	}
	return use.bytes, nil
}

func (u *usage) layerPaths(l *layer.Layer) (paths []string, err error) {
	p, err := u.store.place(l.ID)
	switch {
	case err == nil:
		paths = append(paths, p.dir)
	case !errors.Is(err, fs.ErrNotExist) && u.store.knownDriver():
		return nil, err
	}
	if l.ReadOnly {
		return paths, nil
	}
	beside := layersDir(u.store.roots.graph, u.store.driver.name)
	return append(paths, filepath.Join(beside, string(l.ID)+".tar-split.gz"), filepath.Join(beside, string(l.ID))), nil
}

// measureObjects walks the directories of images and containers.
func (u *usage) measureObjects(ctx context.Context) error {
	for _, i := range u.exam.snap.Images {
		var use diskUse
		if err := use.add(ctx, u.store.images.DataDir(i), nil); err != nil {
			return err
		}
		u.images = append(u.images, use.bytes)
		if !i.ReadOnly {
			u.totals.Images += use.bytes
		}
	}
	for _, c := range u.exam.snap.Containers {
		var use diskUse
		if err := use.add(ctx, u.store.containers.DataDir(c.ID), nil); err != nil {
			return err
		}
		u.containers = append(u.containers, use.bytes)
		u.totals.Containers += use.bytes
	}
	return nil
}

// measureRoot walks what belongs to no object. Directories of the store itself and
// what is known by name counts as records; the rest of the store's directories is
// unaccounted; all else belongs to the engines.
func (u *usage) measureRoot(ctx context.Context, root string) error {
	accounted := u.accounted()
	entries, err := list(root)
	if err != nil {
		return err
	}
	var top diskUse
	if err := top.add(ctx, root, func(string) bool { return true }); err != nil {
		return err
	}
	u.totals.Records += top.bytes
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if err := u.measureTop(ctx, path, e.Name(), accounted); err != nil {
			return err
		}
	}
	return nil
}

func (u *usage) measureTop(ctx context.Context, path, name string, accounted map[string]bool) error {
	d := u.store.driver.name
	var use, stray diskUse
	switch {
	case slices.Contains([]string{d, d + "-layers", d + "-images", d + "-containers"}, name):
		err := use.add(ctx, path, func(p string) bool { return accounted[p] || !u.isBookkeeping(path, p) })
		if err != nil {
			return err
		}
		var all diskUse
		if err := all.add(ctx, path, func(p string) bool { return accounted[p] }); err != nil {
			return err
		}
		stray.bytes = all.bytes - use.bytes
		u.totals.Records += use.bytes
		u.totals.Unaccounted += stray.bytes
	case name == "strata" || strings.HasSuffix(name, ".lock"):
		if err := use.add(ctx, path, nil); err != nil {
			return err
		}
		u.totals.Records += use.bytes
	default:
		if err := use.add(ctx, path, nil); err != nil {
			return err
		}
		u.totals.Engines += use.bytes
	}
	return nil
}

// isBookkeeping reports whether a name in one of the driver's directories is the
// store's own and no leftover.
func (u *usage) isBookkeeping(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return false
	}
	first, rest, inside := strings.Cut(rel, string(filepath.Separator))
	switch first {
	case "l":
		return true
	case "dir", "tempdirs", "tmp", "staging":
		return !inside || rest == ""
	case ".has-mount-program", "backingFsBlockDev":
		return true
	}
	return !strings.HasPrefix(first, ".") && (strings.HasSuffix(first, ".json") || strings.HasSuffix(first, ".lock"))
}

// accounted are the paths that belong to objects.
func (u *usage) accounted() map[string]bool {
	paths := map[string]bool{}
	for _, l := range u.layersOf {
		own, err := u.layerPaths(l)
		if err != nil {
			continue
		}
		for _, p := range own {
			paths[p] = true
		}
	}
	for _, i := range u.exam.snap.Images {
		paths[u.store.images.DataDir(i)] = true
	}
	for _, c := range u.exam.snap.Containers {
		paths[u.store.containers.DataDir(c.ID)] = true
	}
	return paths
}
