package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/internal/bigdata"
	"github.com/stratastore/strata/layer"
)

// maxConfig bounds an image's configuration, in bytes.
const maxConfig = 8 << 20

// diffIDs reads the digests of the image's layers, base first, from its configuration, if
// that is the one that the image's ID is the digest of (on-disk format, 7.2).
func (s *Store) diffIDs(i image.Image) (diffs []layer.DiffID, proven bool) {
	return diffIDsIn(s.images.DataDir(i), string(i.ID))
}

func diffIDsIn(dir, id string) (diffs []layer.DiffID, proven bool) {
	key := digest.Canonical.String() + ":" + id
	f, err := bigdata.Open(dir, key)
	if err != nil {
		return nil, false
	}
	defer f.Close() // read only: nothing to lose
	data, err := io.ReadAll(io.LimitReader(f, maxConfig))
	if err != nil || digest.FromBytes(data).String() != key {
		return nil, false
	}
	var config struct {
		RootFS struct {
			DiffIDs []layer.DiffID `json:"diff_ids"`
		} `json:"rootfs"`
	}
	err = json.Unmarshal(data, &config)
	return config.RootFS.DiffIDs, err == nil && len(config.RootFS.DiffIDs) > 0
}

// checkStack compares the image's layers with its configuration, and reports whether the top
// layer is a wrong one.
func (c *checker) checkStack(i image.Image) (wrong bool) {
	if !c.exam.layers {
		return false
	}
	diffs, proven := c.store.diffIDs(i)
	if !proven {
		return false
	}
	stack := stackOf(i.TopLayer, c.layersOf)
	slices.Reverse(stack)
	if c.matches(stack, diffs) {
		c.lostDiffIDs(i, stack, diffs)
		return false
	}
	right := topOf(diffs)
	if right == i.TopLayer {
		return false // its layers' records are wrong, which is told about these
	}
	if c.layersOf[right] == nil {
		return c.otherLayers(i, stack, diffs)
	}
	f := imageFinding(i, ProblemLayerWrong, RepairRecord, "its record says that its top layer is %q, its configuration proves %s", i.TopLayer, right)
	f.Layer = right
	c.images = append(c.images, f)
	return true
}

// otherLayers reports an image whose layers are not those of its configuration, while those that
// would be are not there. Layers that are missing below, or whose record names another one than
// the layer's ID proves, have findings of their own.
func (c *checker) otherLayers(i image.Image, stack []layer.ID, diffs []layer.DiffID) bool {
	if i.TopLayer != "" && (len(stack) == 0 || c.layersOf[stack[0]].Parent != "" || c.hasWrongParent(stack)) {
		return false
	}
	what := fmt.Sprintf("it has %d layers, its configuration names %d", len(stack), len(diffs))
	if len(stack) == len(diffs) {
		n := slices.IndexFunc(stack, func(id layer.ID) bool { return !c.sameDiff(id, diffs[slices.Index(stack, id)]) })
		what = fmt.Sprintf("its layer %s has the diff ID %s, its configuration says %s", stack[n], c.layersOf[stack[n]].DiffID, diffs[n])
	}
	f := imageFinding(i, ProblemLayerWrong, RepairReload, "%s; the right layers are not in the store", what)
	f.Layer = topOf(diffs)
	c.images = append(c.images, f)
	return true
}

func (c *checker) hasWrongParent(stack []layer.ID) bool {
	return slices.ContainsFunc(c.layers, func(f Finding) bool {
		return f.Problem == ProblemParentWrong && slices.Contains(stack, layer.ID(f.ID))
	})
}

// sameDiff reports whether a layer has a diff ID, as far as its record tells: one with a digest of
// another kind, or with none, may.
func (c *checker) sameDiff(id layer.ID, want layer.DiffID) bool {
	have := c.layersOf[id].DiffID
	kind := func(d layer.DiffID) string { before, _, _ := strings.Cut(string(d), ":"); return before }
	return have == "" || have == want || kind(have) != kind(want)
}

// matches reports whether these are the layers, as far as their records tell.
func (c *checker) matches(stack []layer.ID, diffs []layer.DiffID) bool {
	if len(stack) != len(diffs) {
		return false
	}
	for n, id := range stack {
		if !c.sameDiff(id, diffs[n]) {
			return false
		}
	}
	return true
}

// lostDiffIDs looks for layers without a digest. Those that came without their tar never
// had one.
func (c *checker) lostDiffIDs(i image.Image, stack []layer.ID, diffs []layer.DiffID) {
	for n, id := range stack {
		l := c.layersOf[id]
		if l.DiffID != "" || l.TOCDigest != "" || l.Flags[layer.FlagExpectedDiffID] != nil || c.unproven[id] {
			continue
		}
		if p, err := c.store.place(id); err != nil || p.composefs() || p.elsewhere {
			continue
		}
		if c.unproven == nil {
			c.unproven = map[layer.ID]bool{}
		}
		c.unproven[id] = true
		c.layerIs(l, ProblemDiffIDMissing, RepairRecord, "its record names no digest of its tar; the configuration of image %s says %s", i.ID, diffs[n])
		f := &c.layers[len(c.layers)-1]
		f.Want, f.Image = string(diffs[n]), string(i.ID)
	}
}

// setDiffID records the digest of a layer's tar, if what its files give is what the image's
// configuration says.
func (r *repairer) setDiffID(ctx context.Context, f Finding) (err error) {
	diff, err := r.store.layers.Diff(ctx, layer.ID(f.ID), "", layer.DiffOptions{Packing: layer.PackedAs(archive.None)})
	if err != nil {
		return err
	}
	sum := digest.Canonical.Digester()
	size, err := io.Copy(sum.Hash(), diff)
	if err := errors.Join(err, diff.Close()); err != nil {
		return err
	}
	if got := sum.Digest().String(); got != f.Want {
		err := fmt.Errorf("the tar of layer %s has digest %s, the image's configuration says %s: %w", f.ID, got, f.Want, errdefs.ErrCorrupt)
		return errdefs.WithHint(err, "load image "+f.Image+" again, which replaces the layer in place")
	}
	return r.change(ctx, func(t *tx) error {
		return t.writeLayers.SetDiffID(layer.ID(f.ID), layer.DiffID(f.Want), size)
	})
}

// topOf is the ID that the engines give the last of these layers (on-disk format, 7.1).
func topOf(diffs []layer.DiffID) (id layer.ID) {
	for _, d := range diffs {
		id = layer.ImageLayerID(id, d)
	}
	return id
}
