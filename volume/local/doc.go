// Package local is the volume driver for directories of this host, and for mounts of
// anything that the kernel can mount (docker-layers-and-volumes, C.10).
//
// A volume is a directory <root>/<name>, with its data in _data and, if it was made with
// options, opts.json beside it, as Docker has them. A volume with the options type,
// device and o is a mount: it is mounted on _data by its first user and unmounted by its
// last one. Others are always there.
package local
