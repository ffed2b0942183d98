package strata

import (
	"fmt"
	"os"
	"path/filepath"
)

// checkFolders looks for links and files in the place of the folders of objects' data items. What
// a link leads to is somebody else's.
func (c *checker) checkFolders() {
	s, name := c.store, c.store.driver.name
	for i := range c.exam.snap.Layers {
		if l := &c.exam.snap.Layers[i]; !l.ReadOnly {
			for _, root := range s.roots.writableRoots() {
				c.folder(&c.layers, KindLayer, string(l.ID), filepath.Join(layersDir(root, name), string(l.ID)))
			}
		}
	}
	for _, one := range c.exam.snap.Images {
		if !one.ReadOnly {
			c.folder(&c.images, KindImage, string(one.ID), s.images.DataDir(one))
			c.folder(&c.images, KindImage, string(one.ID), filepath.Join(imagesDir(s.roots.run, name), string(one.ID)))
		}
	}
	for _, one := range c.exam.snap.Containers {
		c.folder(&c.containers, KindContainer, string(one.ID), s.containers.DataDir(one.ID))
		c.folder(&c.containers, KindContainer, string(one.ID), filepath.Join(containersDir(s.roots.run, name), string(one.ID)))
	}
}

func (c *checker) folder(to *[]Finding, kind Kind, id, path string) {
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() {
		return
	}
	for _, f := range *to {
		if f.Path == path {
			return // the run root is the graph root, or two records have one ID
		}
	}
	*to = append(*to, Finding{
		Kind: kind, ID: id, Problem: ProblemFolderWrong, Path: path, Repair: RepairPutAway,
		Reason: fmt.Sprintf("a %s is in the place of its folder %s", modeWord(info), path), Bytes: info.Size(),
	})
}

// putAwayFolder moves away what is in the place of a folder, if it still is no folder.
func (r *repairer) putAwayFolder(f Finding) error {
	info, err := os.Lstat(f.Path)
	if err != nil || info.IsDir() {
		return ignoreMissing(err)
	}
	return r.putAway(f.Kind.String()+"-"+f.ID, f.Path)
}
