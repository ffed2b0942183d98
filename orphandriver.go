package strata

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/livefile"
	"github.com/stratastore/strata/internal/recordfile"
)

// probeDir is what drivers make for a moment to try something out (on-disk format, 4.9).
var probeDir = regexp.MustCompile(`^(compat|metacopy-check|opaque-bug-check|volatile-check|idmapped-check)[0-9]+$`)

// scanDriver looks in the homes that are written.
func (o *orphanScan) scanDriver() error {
	for _, home := range o.store.driverHomes() {
		if home.readOnly {
			continue
		}
		var err error
		switch o.store.driver.name {
		case overlayDriver:
			err = o.scanOverlay(home.path)
		case vfsDriver:
			err = o.scanLayerDirs(filepath.Join(home.path, "dir"))
		}
		if err == nil {
			err = o.scanTemp(filepath.Join(home.path, "tempdirs"), KindLayer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *orphanScan) scanOverlay(home string) error {
	if err := o.scanLayerDirs(home); err != nil {
		return err
	}
	if err := o.scanLinks(home); err != nil {
		return err
	}
	for id := range o.layers {
		// Unmounting replaces the mount point by a new one (on-disk format, 4.5).
		o.add(orphanTree, KindLayer, id, filepath.Join(home, id, "merged.1"), "mount point of an interrupted unmounting")
		if err := o.scanNotes(filepath.Join(home, id), id); err != nil {
			return err
		}
	}
	staging, err := list(filepath.Join(home, "staging"))
	for _, e := range staging {
		path := filepath.Join(home, "staging", e.Name())
		if e.IsDir() && isFree(filepath.Join(path, "staging.lock")) {
			o.old(orphanTree, KindLayer, path, "staging directory of a process that died")
		}
	}
	return err
}

// scanNotes looks for interrupted writes of the driver's notes in a layer's directory.
func (o *orphanScan) scanNotes(dir, id string) error {
	entries, err := list(dir)
	if errors.Is(err, unix.ENOTDIR) {
		return nil // a finding about the layer
	}
	for _, e := range entries {
		if e.Type().IsRegular() && tempFile.MatchString(e.Name()) {
			o.add(orphanFile, KindLayer, id, filepath.Join(dir, e.Name()), "temporary file of an interrupted write")
		}
	}
	return err
}

// scanLayerDirs looks for layers without a record. What lies behind a link may be anything: only what
// has a name that engines make is taken for theirs there.
func (o *orphanScan) scanLayerDirs(dir string) error {
	entries, err := list(dir)
	if err != nil {
		return err
	}
	linked := o.store.isLinked(dir)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !e.IsDir() && hexID.MatchString(e.Name()) && !o.layers[e.Name()]:
			o.add(orphanFile, KindLayer, e.Name(), path, "something that is no directory, in the place of a layer")
		case !e.IsDir() || o.layers[e.Name()] || graphdriver.ID(e.Name()).Validate() != nil:
		case probeDir.MatchString(e.Name()):
			o.old(orphanTree, KindLayer, path, "directory of an interrupted test of the driver")
		case hexID.MatchString(e.Name()) || !linked && o.isLayer(path):
			o.add(orphanLayer, KindLayer, e.Name(), path, "content of a layer without a record")
		}
	}
	return nil
}

// isLinked reports whether a directory of the store, or one above it within the store, is a
// symbolic link.
func (s *Store) isLinked(dir string) bool {
	for ; !slices.Contains(s.roots.writableRoots(), dir) && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && info.Mode().Type() == fs.ModeSymlink {
			return true
		}
	}
	return false
}

// isLayer reports whether a directory with a name that anybody may have chosen can be a layer's.
func (o *orphanScan) isLayer(path string) bool {
	if o.store.driver.name != overlayDriver {
		return filepath.Base(path) != "lost+found" // a file system's own
	}
	for _, sign := range []string{"diff", "link"} {
		if _, err := os.Lstat(filepath.Join(path, sign)); err == nil {
			return true
		}
	}
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0 // cut short at once
}

// scanLinks looks for short links (on-disk format, 4.1) to layers that neither a
// record nor a directory speaks of.
func (o *orphanScan) scanLinks(home string) error {
	if linksElsewhere(home) {
		return nil // a finding about each layer
	}
	entries, err := list(filepath.Join(home, "l"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(home, "l", e.Name())
		target, err := os.Readlink(path)
		if err != nil {
			continue // no link, or gone
		}
		id, ok := linkedLayer(target)
		if !ok {
			o.add(orphanFile, KindLayer, "", path, "short link to %q, which is no layer", target)
			continue
		}
		if _, err := os.Lstat(filepath.Join(home, id)); errors.Is(err, fs.ErrNotExist) && !o.layers[id] {
			o.add(orphanFile, KindLayer, id, path, "short link to a layer that does not exist")
		}
	}
	return nil
}

// linkedLayer reads the layer out of a short link's target, "../ID/diff".
func linkedLayer(target string) (id string, ok bool) {
	rest, up := strings.CutPrefix(target, "../")
	id, diff := strings.CutSuffix(rest, "/diff")
	return id, up && diff && graphdriver.ID(id).Validate() == nil
}

// scanTemp looks for pairs of the temp-dir scheme (on-disk format, 3.7) whose user died.
func (o *orphanScan) scanTemp(root string, kind Kind) error {
	entries, err := list(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, isDir := strings.CutPrefix(e.Name(), "temp-dir-")
		if isDir && e.IsDir() && isFree(filepath.Join(root, "lock-"+n)) {
			o.add(orphanTemp, kind, "", filepath.Join(root, e.Name()), "temporary directory of a process that died")
		}
	}
	return nil
}

// isFree reports whether nobody holds the lock file, or there is none. It asks
// without taking the lock.
func isFree(path string) bool {
	f, alive, err := livefile.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close() // read only: nothing to lose
	return !alive
}

// addIDs adds the IDs of the records in a file that need not be there.
func addIDs(to map[string]bool, path string) error {
	data, err := atomicfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return nil
	}
	if errors.Is(err, errdefs.ErrCorrupt) {
		return &recordfile.CorruptError{Path: path, Reason: "it is no regular file"}
	}
	if err != nil {
		return err
	}
	var records []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(data, &records); err != nil {
		return &recordfile.CorruptError{Path: path, Reason: err.Error()}
	}
	for _, r := range records {
		to[r.ID] = true
	}
	return nil
}
