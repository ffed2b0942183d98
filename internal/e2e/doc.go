// Package e2e holds the tests that run the built command beside the programs
// that people use now: podman, buildah, skopeo and containers-storage, on the
// same roots, and with a real distribution image. It has no other code.
package e2e
