// Package oci moves images between a store and the files that people exchange:
// OCI image layouts (a directory), OCI archives (the same in a tar) and
// docker-archives ("docker save").
//
// A Source gives blobs by digest, wherever they come from, so that a registry can
// be one more Source. Load reads the index, takes the manifest for the wanted
// platform, hands each layer that the store lacks to the store, and records the
// image last and at once: a load that is killed leaves layers that a second load
// reuses, never half an image. Save does the reverse; layers that nobody changed
// come out with the very bytes of their diff ID.
//
// How images are laid down in the store is fixed by the other engines (on-disk
// format, chapter 7).
package oci
