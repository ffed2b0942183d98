// Package volume keeps named places for data: volumes, each made by a driver.
//
// The Store knows names, which driver owns which name, labels and options, and who
// uses what; a Driver keeps the data. Below this package stand the drivers local
// (directories and mounts) and ontop (an overlay over a directory or an image), and
// plugin, which speaks Docker's volume plugin protocol in both directions.
//
//	drivers := volume.NewRegistry(volume.RegistryOptions{})
//	if err := drivers.Register(local); err != nil { ... }
//	store, err := volume.Open(ctx, volume.Options{Path: path, Drivers: drivers})
//	...
//	defer store.Close()
//	made, err := store.Create(ctx, "data", volume.CreateOptions{})
//	path, err := store.Mount(ctx, "data", volume.Holder{ID: container})
//
// A name belongs to one driver of a store. While its driver does not answer, a volume
// keeps its name, its labels and its options; only the driver's own word that a volume
// is gone, or a forced removal, makes the store forget it.
//
// A Holder is somebody who uses a volume. Holders that carry an identity which can be
// verified, a process or a boot of the machine, outlive the process that recorded
// them: they are read again by Open, and dropped once the process or the boot is over.
// A volume with holders is never removed.
package volume
