package mountapi

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// mountClassic mounts o by mount(2). All its options have to fit into one page.
func mountClassic(o *Overlay, target string) error {
	if data := o.Data(); o.plain() && len(data) < os.Getpagesize() {
		return mountOverlay(target, o.Options.Flags, data)
	}
	return mountByNumber(o, target)
}

func mountOverlay(target string, flags Flags, data string) error {
	err := retry(func() error { return unix.Mount("overlay", target, "overlay", uintptr(flags), data) })
	if err != nil {
		return &KernelError{Call: "mount", Err: err}
	}
	return nil
}

// mountByNumber mounts o with open descriptors in the place of paths: numbers are short and
// have no character that means something.
func mountByNumber(o *Overlay, target string) error {
	files, err := openDirs(o.dirs())
	defer closeAll(files)
	if err != nil {
		return err
	}
	data, err := numberedData(o, files)
	if err != nil {
		return err
	}
	return inDirectory("/proc/self/fd", func() error { return mountOverlay(target, o.Options.Flags, data) })
}

// numberedData is the option text with the numbers of files, which are those of o.dirs().
func numberedData(o *Overlay, files []*os.File) (string, error) {
	numbers := make([]string, len(files))
	for i, f := range files {
		numbers[i] = strconv.Itoa(int(f.Fd()))
	}
	short := Overlay{Lowers: numbers[:len(o.Lowers)], Options: o.Options, Context: o.Context}
	if o.Upper != "" {
		short.Upper, short.Work = numbers[len(o.Lowers)], numbers[len(o.Lowers)+1]
	}
	data := short.Data()
	if len(data) >= os.Getpagesize() {
		return "", fmt.Errorf("overlay of %d lower directories needs %d bytes of options, this kernel takes %d: %w",
			len(o.Lowers), len(data), os.Getpagesize()-1, errdefs.ErrLimit)
	}
	return data, nil
}

func openDirs(paths []string) (files []*os.File, err error) {
	for _, path := range paths {
		f, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // only ever named directories
	}
}

// inDirectory runs f with dir as its working directory, on a thread of its own that shares
// the working directory with no other and ends with f.
func inDirectory(dir string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is of no use to others
		err := chdirAlone(dir)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func chdirAlone(dir string) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare working directory: %w", err)
	}
	if err := unix.Chdir(dir); err != nil {
		return &os.PathError{Op: "chdir", Path: dir, Err: err}
	}
	return nil
}
