package testutil

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/mountapi"
)

// ownMountsEnv is set in a program that has its own mounts.
const ownMountsEnv = "STRATA_TEST_OWN_MOUNTS"

// OwnMounts starts a test program again, from its TestMain, where its mounts and those of all
// that it starts are seen by nobody else and end with it, and where the only plugins are its
// own. Otherwise any program on the machine that makes a mount namespace just then gets a copy
// of its mounts, and an overlay that was unmounted lives on in that: its upper directory stays
// in use. And a command would find the volumes that other tests offer by a plugin. Without root,
// or where root may not do that, it does nothing.
func OwnMounts() error {
	if os.Geteuid() != 0 || os.Getenv(ownMountsEnv) != "" {
		return nil
	}
	runtime.LockOSThread() // the thread is what the new program has of this one
	if err := UnshareMounts(); errors.Is(err, unix.EPERM) {
		return nil
	} else if err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), ownMountsEnv+"=1"))
}

// UnshareMounts gives the calling thread, which has to be locked, a mount namespace of its own.
func UnshareMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return errors.Join(LeaveOverlays(), HidePlugins())
}

// HidePlugins puts an empty folder where Docker's plugins have their sockets, in the calling
// thread's mount namespace.
func HidePlugins() error {
	const plugins = "/run/docker/plugins"
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return nil //nolint:nilerr // then nobody offers any
	}
	if err := unix.Mount("tmpfs", plugins, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("hide plugins: %w", err)
	}
	return nil
}

// LeaveOverlays takes other tests' overlays, which are in temporary places, out of the calling
// thread's mount namespace: who keeps a copy of one keeps it in use.
func LeaveOverlays() error {
	mounts, err := mountapi.Table(mountinfo.FSTypeFilter("overlay"))
	if err != nil {
		return err
	}
	var errs []error
	for i := len(mounts) - 1; i >= 0; i-- {
		point := mounts[i].Mountpoint
		if !temporary(point) {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("leave %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// temporary tells what tests mount from what they run in.
func temporary(point string) bool {
	dir, err := os.Getwd()
	if err != nil || strings.HasPrefix(dir+"/", point+"/") || strings.HasPrefix(os.Args[0], point+"/") {
		return false
	}
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"} {
		if strings.HasPrefix(point, filepath.Clean(parent)+"/") {
			return true
		}
	}
	return false
}
