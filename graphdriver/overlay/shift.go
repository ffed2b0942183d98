package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
	"github.com/stratastore/strata/internal/mountapi"
)

// errNoShift says that a mapping can not be had at mount time.
var errNoShift = errdefs.New(errdefs.ErrUnsupported, "owners can not be shifted while mounting: idmapped mounts are switched off, or missing from this kernel or file system")

// CanShift reports whether Get can honour m: as root, when the kernel can make overlays of
// idmapped mounts on the home's file system; by a mount program, when m has no gaps.
func (d *driver) CanShift(m idmap.Mapping) bool {
	switch {
	case m.Empty():
		return true
	case d.noIDMap || len(m.UIDs) == 0 || len(m.GIDs) == 0:
		return false
	case d.program != "":
		return contiguous(m.UIDs) && contiguous(m.GIDs)
	}
	return !d.rootless && d.features.idmappedLowers()
}

// contiguous reports whether each range goes on where the one before it ends, on both sides.
func contiguous(ranges []idmap.Range) bool {
	for i := 1; i < len(ranges); i++ {
		before, r := ranges[i-1], ranges[i]
		if before.ContainerID+before.Size != r.ContainerID || before.HostID+before.Size != r.HostID {
			return false
		}
	}
	return true
}

// idShift is a set of ID-shifted views, one for each place that lower directories are in
// (on-disk format, 4.7).
type idShift struct {
	dir   string // where they are attached if they have to be
	ns    *os.File
	roots []string
	trees []*mountapi.Tree
	// points are where the trees are attached; none in the usual case.
	points []string
}

// shift replaces the lower directories of s by ID-shifted views; nil if there is no mapping.
// The upper directory is none of them: what is in it was written with the owners of the
// container. In a read-only mount diff is shifted as long as it was never written to.
func (d *driver) shift(s *stack, l layerDir, how manner, m idmap.Mapping) (*idShift, error) {
	if m.Empty() {
		return nil, nil
	}
	ns, err := mountapi.UserNamespace(m)
	if err != nil {
		return nil, err
	}
	shift := &idShift{dir: l.path("mapped"), ns: ns}
	if err := shift.all(d.homes, s, m, how.writes()); err != nil {
		shift.close()
		return nil, err
	}
	return shift, nil
}

// writes tells whether the mount has an upper directory.
func (m *manner) writes() bool {
	o := m.options()
	return !m.readOnly && !o.Flags.Has(mountapi.ReadOnly)
}

func (s *idShift) all(homes []home, of *stack, m idmap.Mapping, writes bool) (err error) {
	of.lowers = slices.Clone(of.lowers)
	for i, dir := range of.lowers {
		if of.lowers[i], err = s.view(homes, dir); err != nil {
			return err
		}
	}
	if writes {
		return nil
	}
	root, err := readRoot(of.diff)
	if err != nil {
		return err
	}
	if _, _, err := m.ToContainer(root.uid, root.gid); err == nil {
		return nil // written through a mount with this mapping before
	}
	of.diff, err = s.view(homes, of.diff)
	return err
}

// view returns the path of dir in a shifted view of its home, or of itself when it is a link
// that leads out of it (additional layer stores).
func (s *idShift) view(homes []home, dir string) (string, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("shift owners: %w", err)
	}
	for _, h := range homes {
		root, err := filepath.EvalSymlinks(h.path)
		if err != nil {
			continue // an additional store that is gone
		}
		if rel, ok := strings.CutPrefix(real, root+"/"); ok {
			tree, err := s.tree(root)
			return filepath.Join(tree, rel), err
		}
	}
	return s.tree(real)
}

// tree returns the path of the shifted view of root.
func (s *idShift) tree(root string) (string, error) {
	if i := slices.Index(s.roots, root); i >= 0 {
		return s.trees[i].Path(), nil
	}
	t, err := mountapi.Clone(root)
	if err != nil {
		return "", fmt.Errorf("shift owners: %w", err)
	}
	if err := t.ShiftIDs(s.ns); err != nil {
		return "", errors.Join(fmt.Errorf("shift owners of %s: %w", root, err), t.Close())
	}
	s.roots, s.trees = append(s.roots, root), append(s.trees, t)
	return t.Path(), nil
}

// attach mounts the views below the layer's directory and rewrites lowers accordingly.
func (s *idShift) attach(lowers []string) error {
	for i, t := range s.trees {
		point := filepath.Join(s.dir, strconv.Itoa(i))
		if err := os.MkdirAll(point, 0o700); err != nil {
			return err
		}
		if err := t.Attach(point); err != nil {
			return err
		}
		s.points = append(s.points, point)
		for j, dir := range lowers {
			if rel, ok := strings.CutPrefix(dir, t.Path()); ok && (rel == "" || rel[0] == '/') {
				lowers[j] = filepath.Join(point, rel)
			}
		}
	}
	return nil
}

// close lets go of the views. An overlay that was made of them keeps its own.
func (s *idShift) close() {
	if s == nil {
		return
	}
	for _, point := range s.points {
		// What can not be detached is found when the layer is removed (see release).
		_ = mountapi.Detach(point)
		_ = os.Remove(point)
	}
	for _, t := range s.trees {
		_ = t.Close()
	}
	_ = s.ns.Close()
}

// mappingOptions are the words by which a mount program shifts owners.
func mappingOptions(m idmap.Mapping) []string {
	list := func(ranges []idmap.Range) string {
		var fields []string
		for _, r := range ranges {
			fields = append(fields, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
		}
		return strings.Join(fields, ":")
	}
	if m.Empty() {
		return nil
	}
	return []string{"uidmapping=" + list(m.UIDs), "gidmapping=" + list(m.GIDs)}
}
