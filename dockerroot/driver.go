package dockerroot

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// folders are the drivers that keep a layer's files as a folder, and its place.
func folders() map[string]func(cacheID string) string {
	return map[string]func(string) string{
		"overlay2":       func(id string) string { return path.Join("overlay2", id, "diff") },
		"fuse-overlayfs": func(id string) string { return path.Join("fuse-overlayfs", id, "diff") },
		"vfs":            func(id string) string { return path.Join("vfs", "dir", id) },
	}
}

// layerFolder is the place of a layer's files below the data root. Never by way of
// the short links that the drivers keep.
func (r *Root) layerFolder(l *layerEntry) string { return r.at(folders()[r.driver](l.cacheID)) }

// remapped are the folders in which an engine keeps everything when it remaps
// users: UID.GID of the remapped root. Owners on disk are shifted there, but not
// in the tars, which are put together with their original headers.
var remapped = regexp.MustCompile(`^[0-9]+\.[0-9]+$`)

// findDriver sets base and driver to the place of the images.
func (r *Root) findDriver(wanted string) error {
	bases, err := r.bases()
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		return r.nothingThere()
	}
	if len(bases) > 1 && bases[0] != "." {
		return errdefs.WithHint(
			fmt.Errorf("several engines with remapped users have images here, in %s: %w", strings.Join(bases, " and "), errdefs.ErrInvalid),
			"name the folder of one of them with --root")
	}
	r.base = bases[0]
	for _, other := range bases[1:] {
		r.skip("%s: images of an engine with remapped users are left out; name that folder with --root to read them", other)
	}
	found, err := r.driversIn(r.base)
	if err != nil {
		return err
	}
	if r.driver, err = choose(found, wanted); err != nil {
		return err
	}
	return r.noteContainerd()
}

// bases are the folders with images of graph drivers: "." for the data root
// itself, which comes first, and those for remapped users.
func (r *Root) bases() ([]string, error) {
	top, err := r.names(".")
	if err != nil {
		return nil, err
	}
	top = slices.DeleteFunc(top, func(name string) bool { return !remapped.MatchString(name) })
	var bases []string
	for _, base := range append([]string{"."}, top...) {
		drivers, err := r.driversIn(base)
		if err != nil {
			return nil, err
		}
		if len(drivers) > 0 {
			bases = append(bases, base)
		}
	}
	return bases, nil
}

// driversIn lists the graph drivers with layers or images below base.
func (r *Root) driversIn(base string) ([]string, error) {
	all, err := r.names(path.Join(base, "image"))
	if err != nil {
		return nil, err
	}
	var found []string
	for _, driver := range all {
		for _, database := range []string{"layerdb/sha256", "imagedb/content/sha256"} {
			entries, err := r.names(path.Join(base, "image", driver, database))
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(entries, isDigestName) {
				found = append(found, driver)
				break
			}
		}
	}
	return found, nil
}

func isDigestName(base string) bool {
	_, ok := sha256Named(base)
	return ok
}

// choose picks the driver among those with content, of which there is one at least.
func choose(found []string, wanted string) (string, error) {
	list := strings.Join(found, ", ")
	switch {
	case wanted == "" && len(found) > 1:
		return "", errdefs.WithHint(fmt.Errorf("several graph drivers have images here: %s: %w", list, errdefs.ErrInvalid), "choose one with --driver")
	case wanted == "":
		wanted = found[0]
	case !slices.Contains(found, wanted):
		return "", fmt.Errorf("no images of the graph driver %q, only of: %s: %w", wanted, list, errdefs.ErrNotFound)
	}
	if folders()[wanted] == nil {
		return "", errdefs.WithHint(
			fmt.Errorf("the graph driver %s keeps no folders that could be read: %w", wanted, errdefs.ErrUnsupported), exportHint)
	}
	return wanted, nil
}
