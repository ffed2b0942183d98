package cli

import (
	"io/fs"
	"syscall"

	"github.com/stratastore/strata"
	"github.com/stratastore/strata/container"
	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/image"
	"github.com/stratastore/strata/layer"
	"github.com/stratastore/strata/volume"
)

// kindHint is the next step for errors that have none of their own.
type kindHint struct {
	kind error
	hint string
}

const (
	moveName = "choose another --name, or move the name with `strata add-names`"
	leaveID  = "leave --id out to have one made"
	// digestForm is about digests on the command line.
	digestForm = "digests look like sha256: and 64 hexadecimal digits"
)

// kindHints are the hints in the order of matching, narrow ones first.
func kindHints() []kindHint {
	return []kindHint{
		{syscall.ENOSPC, "free some space, for example with `strata delete-image`, and run the command again"},
		{syscall.EROFS, "the file system is mounted read-only: remount it, or read the store as an additional one of another: --graph DIR --storage-opt imagestore=STORE"},
		{layer.ErrHasChildren, "delete the layers on top of it first; `strata layers --tree` shows them"},
		{layer.ErrUsedByImage, "delete the image, and its layers go with it: `strata delete-image`"},
		{layer.ErrUsedByContainer, "delete the container, and its layer goes with it: `strata delete-container`"},
		{image.ErrUsedByContainer, "delete the container first: `strata delete-container`"},
		{layer.ErrUnknown, "`strata layers` lists the layers, `strata containers` the containers"},
		{image.ErrUnknown, "`strata images` lists the images"},
		{strata.ErrNotAnImage, "`strata images` lists the images"},
		{container.ErrUnknown, "`strata containers` lists the containers"},
		{strata.ErrNotAContainer, "`strata containers` lists the containers"},
		{strata.ErrNotAnID, "`strata images`, `strata containers` and `strata layers` list what there is"},
		{volume.ErrNoSuchVolume, "`strata volume ls` lists the volumes"},
		{strata.ErrNotALayer, "`strata layers` lists the layers"},
		{layer.ErrDuplicateName, moveName}, {image.ErrDuplicateName, moveName}, {container.ErrDuplicateName, moveName},
		{layer.ErrDuplicateID, leaveID}, {image.ErrDuplicateID, leaveID}, {container.ErrDuplicateID, leaveID},
		{errdefs.ErrReadOnly, "objects of additional stores can be used but not changed"},
		{errdefs.ErrCorrupt, "get the file again; if it comes from the store, delete the image and load it again"},
		{errdefs.ErrLocked, "wait for the other program, or end it"},
		{errdefs.ErrLimit, "raise the limit in [storage.options.strata] of storage.conf if you trust the input"},
		{syscall.ENOTDIR, "a part of the path is a file: check the path"},
		{fs.ErrNotExist, "check the path; `ls` shows what is there"},
		{fs.ErrPermission, "run the command as root, or name a store of your own with --graph and --run"},
	}
}
