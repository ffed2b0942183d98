package strata

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The bits that matter of a mode. Engines give the store's folders 0700 or 0755, and add the right to
// pass through for containers with a user namespace of their own; people make them readable who
// share a store. Nobody lets others write.
const (
	othersWrite = 0o022
	ownerAll    = 0o700
	ownerFile   = 0o600
)

// wrongModes looks at the store's own folders and record files: who may write there can change every
// image, and an owner who may not can not use the store.
func (s *Store) wrongModes() (found []Finding) {
	add := func(kind Kind, path string, wanted fs.FileMode) {
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Type() != wanted.Type() || modeFits(path, info, wanted) {
			return
		}
		found = append(found, Finding{
			Kind: kind, Problem: ProblemMode, Path: path, Repair: RepairMode, Bytes: info.Size(), Want: fmt.Sprintf("%04o", rightMode(info, wanted)),
			Got: fmt.Sprintf("%04o", info.Mode().Perm()), Reason: modeReason(info, wanted),
		})
	}
	folder := func(kind Kind, path string) { add(kind, path, fs.ModeDir|ownerAll) }
	name := s.driver.name
	for _, root := range append(s.roots.writableRoots(), s.roots.run) {
		folder(KindLayer, filepath.Join(root, name))
		folder(KindLayer, filepath.Join(root, name, "l"))
		folder(KindLayer, layersDir(root, name))
		folder(KindImage, imagesDir(root, name))
		folder(KindContainer, containersDir(root, name))
		folder(KindLayer, filepath.Join(root, "strata"))
		add(KindLayer, filepath.Join(layersDir(root, name), "layers.json"), ownerFile)
		add(KindLayer, filepath.Join(layersDir(root, name), "mountpoints.json"), ownerFile)
		add(KindImage, filepath.Join(imagesDir(root, name), "images.json"), ownerFile)
		add(KindContainer, filepath.Join(containersDir(root, name), "containers.json"), ownerFile)
	}
	return found
}

// modeFits reports whether the owner may do what he has to, and nobody else writes. With access
// control lists, the bits of the group say something else.
func modeFits(path string, info fs.FileInfo, wanted fs.FileMode) bool {
	perm := info.Mode().Perm()
	if perm&wanted.Perm() != wanted.Perm() {
		return false
	}
	if perm&othersWrite == 0 {
		return true
	}
	_, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && perm&0o002 == 0
}

func rightMode(info fs.FileInfo, wanted fs.FileMode) fs.FileMode {
	return info.Mode().Perm()&^othersWrite | wanted.Perm()
}

func modeReason(info fs.FileInfo, wanted fs.FileMode) string {
	perm := info.Mode().Perm()
	if perm&wanted.Perm() != wanted.Perm() {
		return fmt.Sprintf("its mode is %04o: its owner can not use it", perm)
	}
	return fmt.Sprintf("its mode is %04o: others can change what is in it", perm)
}

// setMode gives a folder or file of the store the mode that fits.
func (r *repairer) setMode(f Finding) error {
	info, err := os.Lstat(f.Path)
	if err != nil {
		return ignoreMissing(err)
	}
	wanted := fs.FileMode(ownerFile)
	if info.IsDir() {
		wanted = ownerAll
	} else if !info.Mode().IsRegular() {
		return nil // a finding of its own
	}
	special := info.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	return os.Chmod(f.Path, rightMode(info, wanted)|special)
}
