package strata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/stratastore/strata/internal/bigdata"
)

// Orphan is a file or directory of the store that no record accounts for.
type Orphan struct {
	// Kind and ID are of the object that it would belong to; ID is "" when it belongs
	// to none.
	Kind Kind
	ID   string
	// Path is absolute.
	Path string
	// Reason says why nothing needs it.
	Reason string
	// Bytes are what it takes on the disk.
	Bytes int64

	sort orphanSort
	// changed is when it last was, as far as its own inode tells.
	changed time.Time
}

// orphanSort says how an orphan is removed.
type orphanSort int

const (
	orphanFile   orphanSort = iota // a file or link: unlinked
	orphanLayer                    // the driver moves it away
	orphanBeside                   // lies beside layer records: into their temp directory
	orphanObject                   // a directory of images or containers
	orphanTemp                     // a pair of the temp-dir scheme
	orphanStage                    // a stage of data items
	orphanTree                     // any other directory
	orphanCopy                     // a note about a copy, with what that left in a layer
)

// minAge is how long things that are made under no lock that is held here must have
// been left alone to count as left behind.
const minAge = time.Hour

// hexID is the form of the names in the record directories that the engines' own
// garbage collection looks at (on-disk format, 2.9).
var hexID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// tempFile is the form of a file on its way to replace another (on-disk format, 3.6).
var tempFile = regexp.MustCompile(`^\.tmp-.+[0-9]$`)

// orphanScan looks for orphans while the locks of all three kinds are held.
type orphanScan struct {
	store      *Store
	layers     map[string]bool
	images     map[string]bool
	containers map[string]bool
	// items are the file names of the data items of each object, by "kind ID".
	items map[string]map[string]bool
	// keepSplits: tar-splits may be of layers in an image store that is not there now.
	keepSplits bool

	found []Orphan
	now   time.Time
}

// orphans lists what no record accounts for, by the rules of the on-disk format,
// 2.9 and 3.7. Engines' own files are none. The caller holds all locks and has
// whole records. Bytes are not counted yet.
func (s *Store) orphans(e *exam) ([]Orphan, error) {
	o := &orphanScan{store: s, layers: map[string]bool{}, images: map[string]bool{}, containers: map[string]bool{}, now: time.Now()}
	o.addRecorded(e)
	if err := errors.Join(o.addHidden(), o.addImageStores()); err != nil {
		return nil, err
	}
	for _, scan := range []func() error{o.scanDriver, o.scanLayers, o.scanImages, o.scanContainers, o.scanOwn, o.scanBorrowed} {
		if err := scan(); err != nil {
			return nil, fmt.Errorf("look for orphans: %w", err)
		}
	}
	return o.found, nil
}

// addRecorded notes what the records speak of.
func (o *orphanScan) addRecorded(e *exam) {
	o.items = map[string]map[string]bool{}
	for _, l := range e.snap.Layers {
		o.layers[string(l.ID)] = true
		o.addItems(KindLayer, string(l.ID), l.BigDataNames)
	}
	for _, i := range e.snap.Images {
		o.images[string(i.ID)] = true
		o.addItems(KindImage, string(i.ID), i.BigDataNames)
		o.addItems(KindImage, string(i.ID), o.store.unrecorded(i))
	}
	for _, c := range e.snap.Containers {
		o.containers[string(c.ID)] = true
		o.addItems(KindContainer, string(c.ID), c.BigDataNames)
	}
	for _, c := range e.clashes { // a repair may choose any of the records
		for _, text := range c.Records {
			var r bigdata.Inventory
			if json.Unmarshal(text, &r) == nil {
				o.addItems(c.kind, c.ID, r.BigDataNames)
			}
		}
	}
}

func (o *orphanScan) addItems(kind Kind, id string, keys []string) {
	object := kind.String() + " " + id
	if o.items[object] == nil { // several stores may have the object
		o.items[object] = map[string]bool{}
	}
	for _, key := range keys {
		if name, err := bigdata.FileName(key); err == nil {
			o.items[object][name] = true
		}
	}
}

// addHidden adds the volatile records that this way of opening the store does not
// show: those in the run root of a store that somebody opens as a transient one, and
// the other way round (on-disk format, 1.3).
func (o *orphanScan) addHidden() error {
	name := o.store.driver.name
	for _, root := range []string{o.store.roots.graph, o.store.roots.run} {
		if err := addIDs(o.layers, filepath.Join(layersDir(root, name), "volatile-layers.json")); err != nil {
			return err
		}
		if err := addIDs(o.containers, filepath.Join(containersDir(root, name), "volatile-containers.json")); err != nil {
			return err
		}
	}
	return nil
}

// add notes an orphan that is there.
func (o *orphanScan) add(sort orphanSort, kind Kind, id, path, format string, args ...any) {
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	o.found = append(o.found, Orphan{
		Kind: kind, ID: id, Path: path, Reason: fmt.Sprintf(format, args...),
		sort: sort, changed: lastChange(info),
	})
}

// old is add for what may be in use without a lock that is held here.
func (o *orphanScan) old(sort orphanSort, kind Kind, path, format string, args ...any) {
	info, err := os.Lstat(path)
	if err == nil && o.now.Sub(lastChange(info)) > minAge {
		o.add(sort, kind, "", path, format, args...)
	}
}

// lastChange is the newer of the two times that an inode has for changes.
func lastChange(info fs.FileInfo) time.Time {
	t := info.ModTime()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if c := time.Unix(st.Ctim.Unix()); c.After(t) {
			return c
		}
	}
	return t
}

// list reads a directory that need not be there.
func list(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// writableRoots are the roots that are written: the graph root and the image store.
func (r roots) writableRoots() []string {
	if r.image == "" {
		return []string{r.graph}
	}
	return []string{r.graph, r.image}
}

// scanLayers looks beside the layers' records.
func (o *orphanScan) scanLayers() error {
	for _, root := range o.store.roots.writableRoots() {
		dir := layersDir(root, o.store.driver.name)
		entries, err := list(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			o.layerEntry(dir, e)
		}
		if err := o.scanTemp(filepath.Join(dir, "tmp"), KindLayer); err != nil {
			return err
		}
	}
	return nil
}

func (o *orphanScan) layerEntry(dir string, e fs.DirEntry) {
	path := filepath.Join(dir, e.Name())
	id, isSplit := strings.CutSuffix(e.Name(), ".tar-split.gz")
	switch {
	case isSplit && hexID.MatchString(id) && !o.layers[id] && !o.keepSplits:
		o.add(orphanBeside, KindLayer, id, path, "tar-split of a layer without a record")
	case e.IsDir() && hexID.MatchString(e.Name()):
		if o.layers[e.Name()] {
			o.scanItems(path, KindLayer, e.Name())
			return
		}
		o.add(orphanBeside, KindLayer, e.Name(), path, "data items of a layer without a record")
	default:
		o.commonEntry(path, KindLayer, e)
	}
}

// commonEntry is for what may lie in each record directory.
func (o *orphanScan) commonEntry(path string, kind Kind, e fs.DirEntry) {
	switch {
	case e.Type().IsRegular() && tempFile.MatchString(e.Name()):
		o.add(orphanFile, kind, "", path, "temporary file of an interrupted write")
	case e.IsDir() && bigdata.IsStage(e.Name()) && bigdata.StageIsDead(path):
		o.add(orphanStage, kind, "", path, "staging directory of a process that died")
	}
}

// scanItems looks for interrupted writes among an object's data items, and for items
// that were written but not recorded. The engines' own directory is left alone.
func (o *orphanScan) scanItems(dir string, kind Kind, id string) {
	entries, err := list(dir)
	if err != nil {
		return // the items themselves are reported as unreadable
	}
	recorded, known := o.items[kind.String()+" "+id]
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case !e.Type().IsRegular() || recorded[e.Name()]:
		case tempFile.MatchString(e.Name()):
			o.add(orphanFile, kind, id, path, "temporary file of an interrupted write")
		case known:
			o.add(orphanFile, kind, id, path, "data item that no record speaks of")
		}
	}
}

func (o *orphanScan) scanImages() error {
	for _, root := range o.store.roots.writableRoots() {
		if err := o.scanObjects(imagesDir(root, o.store.driver.name), KindImage, o.images); err != nil {
			return err
		}
	}
	return o.scanObjects(imagesDir(o.store.roots.run, o.store.driver.name), KindImage, o.images)
}

func (o *orphanScan) scanContainers() error {
	for _, root := range []string{o.store.roots.graph, o.store.roots.run} {
		if err := o.scanObjects(containersDir(root, o.store.driver.name), KindContainer, o.containers); err != nil {
			return err
		}
	}
	return nil
}

// scanObjects looks at a directory with one directory for each object.
func (o *orphanScan) scanObjects(dir string, kind Kind, known map[string]bool) error {
	entries, err := list(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && known[e.Name()]:
			o.scanItems(path, kind, e.Name())
		case e.IsDir() && hexID.MatchString(e.Name()):
			o.add(orphanObject, kind, e.Name(), path, "directory of %s %s without a record", article(kind), kind)
		default:
			o.commonEntry(path, kind, e)
		}
	}
	return nil
}

func article(k Kind) string {
	if k == KindImage {
		return "an"
	}
	return "a"
}
