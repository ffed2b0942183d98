package powertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/testutil"
)

// bench is a place with mounts that nobody else sees: a thread in a mount namespace
// of its own. What is mounted through it ends with it.
type bench struct {
	calls chan func()
	done  chan struct{}
}

// newBench starts the thread; it ends with the test.
func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{calls: make(chan func()), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(b.done)
		runtime.LockOSThread() // never unlocked: the thread ends here, and its mounts with it
		started <- testutil.UnshareMounts()
		for f := range b.calls {
			f()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(b.calls)
		<-b.done
	})
	return b
}

// do runs f where the mounts are. Programs that f starts see them too.
func (b *bench) do(f func() error) error {
	result := make(chan error)
	b.calls <- func() { result <- f() }
	return <-result
}

// run starts a program on the bench and waits for it; the error has its output.
func (b *bench) run(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := b.do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out.String())
	}
	return out.String(), err
}

// attachLoop makes a block device of a file, for as long as it is open or mounted.
func attachLoop(path string) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	backing, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close() // the device has it by then
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a loop device: %w", err)
		}
		dev, err := configure(fmt.Sprintf("/dev/loop%d", n), backing)
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return dev, err
		}
	}
}

func configure(path string, backing *os.File) (*os.File, error) {
	dev, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	if err := unix.IoctlLoopConfigure(int(dev.Fd()), &config); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return dev, nil
}

// fileSystem is one that stores lie on.
type fileSystem struct {
	name string
	size int64
	mkfs []string
}

// fileSystems are those that the tests of this package run on, small: what they
// hold is copied for every cut.
func fileSystems() []fileSystem {
	return []fileSystem{
		{"ext4", 64 << 20, []string{"mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"}},
		{"xfs", 96 << 20, []string{"mkfs.xfs", "-q", "-f", "-K", "--unsupported", "-l", "size=8m", "-d", "agcount=2"}},
	}
}

func (f fileSystem) format(b *bench, device string) error {
	args := append(f.mkfs[1:len(f.mkfs):len(f.mkfs)], device)
	_, err := b.run(nil, f.mkfs[0], args...)
	return err
}

// mount is to be called by the thread that is to see it.
func (f fileSystem) mount(device, dir string) error {
	options := ""
	if f.name == "xfs" {
		options = "nouuid" // an image has its original's
	}
	if err := unix.Mount(device, dir, f.name, unix.MS_NOATIME, options); err != nil {
		return fmt.Errorf("mount %s: %w", f.name, err)
	}
	return nil
}
