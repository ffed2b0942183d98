package mountapi

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// API says which of the kernel's two interfaces is used.
type API int

// The interfaces.
const (
	// Auto takes the new one where it works, else the classic one.
	Auto API = iota
	// Descriptors is fsopen(2) and what belongs to it.
	Descriptors
	// Classic is mount(2).
	Classic
)

// Mounter mounts overlays. The zero value is Auto and ready; it remembers what the kernel
// lacks. It is safe for concurrent use and must not be copied.
type Mounter struct {
	// API is set before the first use and not changed afterwards.
	API API
	// lacking is set once mount(2) did what the new interface could not.
	lacking atomic.Bool
}

// KernelError is a refused mount with the kernel's own explanation.
type KernelError struct {
	// Call is the system call, Text what the kernel logged about it ("" if nothing).
	Call, Text string
	Err        error
}

func (e *KernelError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %v", e.Call, e.Err)
	}
	return fmt.Sprintf("%s: %v (%s)", e.Call, e.Err, e.Text)
}

// Unwrap returns the error number.
func (e *KernelError) Unwrap() error { return e.Err }

// Overlay mounts o at target, an absolute path of a directory that must exist. Errors are those of
// Validate, and *KernelError.
func (m *Mounter) Overlay(o *Overlay, target string) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if !m.descriptors() {
		return mountClassic(o, target)
	}
	err := attachNew(o, target)
	if err == nil || m.API == Descriptors || !worthClassic(err) {
		return err
	}
	if classic := mountClassic(o, target); classic != nil {
		return better(err, classic)
	}
	m.lacking.Store(true)
	return nil
}

// OverlayTree makes the mount without attaching it anywhere: it is visible through the
// returned tree, and gone when that is closed, or the process ends. It is ErrNoTrees where
// the kernel has only mount(2); one that has half of the new interface says EINVAL.
func (m *Mounter) OverlayTree(o *Overlay) (*Tree, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !m.descriptors() {
		return nil, ErrNoTrees
	}
	t, err := newOverlay(o)
	if err != nil && m.API == Auto && absent(err) {
		return nil, fmt.Errorf("%w: %w", ErrNoTrees, err)
	}
	return t, err
}

// ErrNoTrees says that this kernel has only mounts that are attached somewhere.
var ErrNoTrees = errdefs.New(errdefs.ErrUnsupported, "kernel has no detached mounts")

func (m *Mounter) descriptors() bool { return m.API != Classic && !m.lacking.Load() }

// absent tells an interface that is not there from one that said no. EPERM is what
// sandboxes answer for system calls that they do not know.
func absent(err error) bool {
	var k *KernelError
	return errors.As(err, &k) && k.Call == "fsopen" && (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM))
}

// worthClassic reports whether mount(2) may do better: the interface is not there, or does
// not know lowerdir+ yet, for which there is no error of its own.
func worthClassic(err error) bool { return absent(err) || errors.Is(err, unix.EINVAL) }

// better is the error that says more, when both ways failed.
func better(now, classic error) error {
	var k *KernelError
	if errors.As(now, &k) && k.Text != "" {
		return now
	}
	return classic
}

func attachNew(o *Overlay, target string) error {
	t, err := newOverlay(o)
	if err != nil {
		return err
	}
	return errors.Join(t.Attach(target), t.Close())
}
