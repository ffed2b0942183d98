// Package dockerroot reads the data root of a stopped Docker engine, or a copy of
// one, as a source of images: no daemon is needed and nothing in it is written.
//
// An engine with graph drivers keeps, below image/DRIVER, a database of layers
// (layerdb: diff ID, cache ID, parent, tar-split), the configurations of images
// (imagedb) and their names (repositories.json); the files of a layer are below
// DRIVER/CACHE-ID. Together they give back each layer's exact tar, which the
// store checks against its diff ID while it takes it in.
//
//	root, err := dockerroot.Open("/var/lib/docker", dockerroot.Options{})
//	...
//	defer root.Close()
//	results, err := root.Import(ctx, store, root.Images(false), dockerroot.ImportOptions{})
//
// Open refuses what it can't read faithfully, each with its reason: a running
// engine, images kept by containerd, drivers that keep no folders. What is
// damaged inside of the database takes only the images along that need it.
// The rules are those of the engine's own database (docker-layers-and-volumes,
// A.7 to A.10).
//
// Nothing in a data root is trusted: names in it are resolved inside of it by the
// kernel, links are not followed, only regular files are read, sizes are capped,
// and IDs are checked before they become paths.
package dockerroot
