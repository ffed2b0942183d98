package testutil

import (
	"testing"

	"golang.org/x/sys/unix"
)

// BindReadOnly mounts dir at target so that nothing can be written through it. The caller
// unmounts it.
func BindReadOnly(t testing.TB, dir, target string) {
	t.Helper()
	if err := unix.Mount(dir, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind mount %s at %s: %v", dir, target, err)
	}
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatalf("make mount %s read-only: %v", target, err)
	}
}
