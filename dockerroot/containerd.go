package dockerroot

import (
	"fmt"
	"path"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// ErrContainerd says that the images are kept by containerd's own content store.
var ErrContainerd = errdefs.New(errdefs.ErrUnsupported, "the images are kept by containerd's content store, not by a graph driver")

const exportHint = "start the engine, export the images with `docker save`, and load them with `strata load`"

// nothingThere is the reason why no graph driver has images.
func (r *Root) nothingThere() error {
	blobs, err := r.anyIn("containerd/daemon/io.containerd.content.v1.content/blobs", "")
	if err != nil {
		return err
	}
	snapshots, err := r.hasSnapshots(".")
	if err != nil {
		return err
	}
	if blobs || snapshots {
		return errdefs.WithHint(ErrContainerd, exportHint)
	}
	return fmt.Errorf("no images: nothing below image/*/layerdb and image/*/imagedb: %w", errdefs.ErrNotFound)
}

// noteContainerd says that containerd has images besides the graph driver.
func (r *Root) noteContainerd() error {
	has, err := r.hasSnapshots(r.base)
	if err == nil && has {
		r.skip("images that containerd keeps are left out: %w", errdefs.WithHint(ErrContainerd, exportHint))
	}
	return err
}

// hasSnapshots looks for what only an engine with containerd's image store makes.
// Blobs are no sign beside a graph driver: each pull leaves manifests there.
func (r *Root) hasSnapshots(base string) (bool, error) {
	for _, place := range []struct{ dir, below string }{
		{"rootfs", ""}, {"containerd/daemon", "snapshots"},
	} {
		has, err := r.anyIn(path.Join(base, place.dir), place.below)
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// anyIn reports whether a folder of dir, or its sub-folder named below, has an
// entry. With below, only the folders of snapshotters count.
func (r *Root) anyIn(dir, below string) (bool, error) {
	folders, err := r.names(dir)
	if err != nil {
		return false, err
	}
	for _, folder := range folders {
		if below != "" && !strings.HasPrefix(folder, "io.containerd.snapshotter.v1.") {
			continue
		}
		entries, err := r.names(path.Join(dir, folder, below))
		if len(entries) > 0 || err != nil {
			return len(entries) > 0, err
		}
	}
	return false, nil
}
