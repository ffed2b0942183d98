package testutil

import (
	"errors"
	"fmt"
	"testing"
	"time"

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

// Unmount takes a mount away. Where it is in use it waits: another process may have looked at
// it just now, through /proc or between a fork and its program.
func Unmount(point string) error {
	err := unix.Unmount(point, 0)
	for start := time.Now(); errors.Is(err, unix.EBUSY) && time.Since(start) < 3*time.Minute; time.Sleep(10 * time.Millisecond) {
		err = unix.Unmount(point, 0)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", point, err)
	}
	return nil
}
