// Package archive turns layers into tars and tars into layers. It knows
// directories and streams, and no store and no driver.
//
// A layer is a set of changes to the tree below it. As a tar it holds what was
// added or modified, and a whiteout, an empty file ".wh.NAME", for what was
// deleted (OCI image specification, layer.md). On disk it is either a complete
// tree (vfs) or an upper directory with marks of its own for deletions
// (overlay); WhiteoutFormat says which.
//
// On the way in, Ingest reads a compressed blob once and hands the tar to a
// function, which unpacks it with Extract. Beside that it measures and hashes
// both sides, and writes the tar-split: everything of the tar but the contents
// of its files.
//
// On the way out there are two ways. A layer that is as it came is put together
// from its tar-split and its files by Assemble, with OpenFiles as the way to
// these; it has the very bytes that came in. Any other diff is computed: Compare
// (two trees) or OverlayChanges (an upper directory) lists the changes and
// PackChanges writes them. These lists and tars are the same on every driver,
// and the same each time.
//
//	changes, err := archive.OverlayChanges(ctx, upper, lowers, archive.WhiteoutTrusted, archive.CompareOptions{})
//	...
//	err = archive.PackChanges(ctx, w, upper, changes, archive.PackOptions{Whiteouts: archive.WhiteoutTrusted})
//
// Whatever comes from outside, names, links and sizes, is held to Limits and to
// the directory that it belongs to (package rootfd).
//
// Compression, Stream, Ingest and Assemble work on every system; what touches
// trees needs Linux.
package archive
