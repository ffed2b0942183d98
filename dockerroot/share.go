package dockerroot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/graphdriver"
	"github.com/stratastore/strata/oci"
)

const (
	// shareChunk is as much as one call of the kernel compares, in bytes: btrfs takes no more.
	shareChunk = 16 << 20
	// shareLeast is the smallest file that is looked at, in bytes: a block.
	shareLeast = 4096
)

// share lets the files of an image's new layers use the disk space of Docker's, where both
// are on one file system that can (xfs with reflinks, btrfs). The kernel compares the bytes
// before it shares them, so that a file which has changed since it was read stays as it
// is. It returns the bytes that are shared. What can not be shared is not an error.
func (r *Root) share(ctx context.Context, store oci.Store, loaded oci.Loaded) (total int64, err error) {
	s, ok := store.(interface{ Driver() graphdriver.Driver })
	if !ok || loaded.NewLayers == 0 {
		return 0, nil
	}
	img, err := store.Image(ctx, string(loaded.ID))
	if err != nil {
		return 0, err
	}
	id := string(img.TopLayer)
	for range loaded.NewLayers { // new layers lie on top of those that were there
		if id == "" {
			break
		}
		l, err := store.Layer(ctx, id)
		if err != nil {
			return total, err
		}
		if docker, ok := r.layers[l.Chain]; ok {
			n, err := r.shareLayer(ctx, s.Driver(), graphdriver.ID(l.ID), docker)
			total += n
			if errors.Is(err, errCanNotShare) {
				return total, nil
			}
			if err != nil {
				return total, fmt.Errorf("share the files of layer %s: %w", l.Chain, err)
			}
		}
		id = string(l.Parent)
	}
	return total, nil
}

// errCanNotShare says that no file of the layer can be shared.
var errCanNotShare = errors.New("these file systems share no data")

// shareLayer goes through the store's own tree, and looks for each file in Docker's.
func (r *Root) shareLayer(ctx context.Context, driver graphdriver.Driver, id graphdriver.ID, docker *layerEntry) (total int64, err error) {
	facts, err := driver.Metadata(ctx, id)
	if err != nil {
		return 0, err
	}
	dir := facts["UpperDir"]
	if dir == "" {
		dir = facts["Dir"]
	}
	if dir == "" {
		return 0, errCanNotShare
	}
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if !e.Type().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		n, err := r.shareFile(name, path.Join(r.layerFolder(docker), filepath.ToSlash(rel)))
		total += n
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // somebody removes the layer already
	}
	return total, err
}

// shareFile returns the bytes that were shared. A file that Docker has not, or not of that
// size, shares none.
func (r *Root) shareFile(own, docker string) (n int64, err error) {
	dst, err := os.OpenFile(own, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer dst.Close()
	info, err := dst.Stat()
	if err != nil || info.Size() < shareLeast {
		return 0, err
	}
	src, there, err := r.openRegular(docker)
	if err != nil {
		return 0, nil // what Docker does not have there can not be shared
	}
	defer src.Close()
	if there.Size() != info.Size() {
		return 0, nil
	}
	for n < info.Size() {
		done, err := shareRange(src, dst, n, min(shareChunk, info.Size()-n))
		if err != nil || done == 0 {
			return n, err
		}
		n += done
	}
	return n, nil
}

// shareRange asks the kernel (ioctl_fideduperange(2)). It returns 0 for bytes that differ.
func shareRange(src, dst *os.File, at, length int64) (int64, error) {
	q := unix.FileDedupeRange{
		Src_offset: uint64(at), Src_length: uint64(length), //nolint:gosec // neither is negative
		Info: []unix.FileDedupeRangeInfo{{Dest_fd: int64(dst.Fd()), Dest_offset: uint64(at)}}, //nolint:gosec // the same
	}
	err := unix.IoctlFileDedupeRange(int(src.Fd()), &q)
	for errors.Is(err, unix.EINTR) {
		err = unix.IoctlFileDedupeRange(int(src.Fd()), &q)
	}
	if status := q.Info[0].Status; err == nil && status < 0 {
		err = unix.Errno(-status)
	}
	switch {
	case slices.ContainsFunc(unable, func(e error) bool { return errors.Is(err, e) }):
		return 0, errCanNotShare
	case err != nil:
		return 0, err
	case q.Info[0].Status == unix.FILE_DEDUPE_RANGE_DIFFERS:
		return 0, nil
	}
	return int64(q.Info[0].Bytes_deduped), nil //nolint:gosec // at most length
}

// unable are the kernel's words for file systems that share nothing, or not with each other, and
// for users who may not.
var unable = []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL, unix.EXDEV, unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EROFS}
