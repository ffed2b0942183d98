// Package config reads storage.conf and the environment into typed settings,
// each of which knows where it came from.
//
// The files, their order, the keys and their legacy forms are those that Podman,
// Buildah, Skopeo and CRI-O read (on-disk format, chapter 8). A main file is
// looked for in the user's, the administrator's and the vendor's directory; the
// first one counts. Drop-ins are merged on top key by key, then the environment.
// A key that nobody knows becomes a Warning with a suggestion; a value of the
// wrong type is an error that names file and line.
//
// Nothing outside of this package reads storage.conf, and only SystemEnv reads
// the process's environment.
package config
