package strata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

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
	key := digest.Canonical.String() + ":" + string(i.ID)
	f, err := bigdata.Open(s.images.DataDir(i), key)
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
	if c.layersOf[right] == nil || right == i.TopLayer {
		return false
	}
	f := imageFinding(i, ProblemLayerWrong, RepairRecord, "its record says that its top layer is %q, its configuration proves %s", i.TopLayer, right)
	f.Layer = right
	c.images = append(c.images, f)
	return true
}

// matches reports whether these are the layers, as far as their records tell.
func (c *checker) matches(stack []layer.ID, diffs []layer.DiffID) bool {
	if len(stack) != len(diffs) {
		return false
	}
	for n, id := range stack {
		if d := c.layersOf[id].DiffID; d != "" && d != diffs[n] {
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
