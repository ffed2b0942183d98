package mountapi

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// Tree is a mount held by a file descriptor. Until it is attached nobody else sees it.
type Tree struct{ file *os.File }

func newTree(fd int) *Tree { return &Tree{os.NewFile(uintptr(fd), "mount")} }

// Path names the root of the tree for this process, as long as the tree is open.
func (t *Tree) Path() string { return fmt.Sprintf("/proc/self/fd/%d", t.file.Fd()) }

// Attach makes the tree visible at target, which is not followed if it is a link. The
// mount then lives on when the tree is closed.
func (t *Tree) Attach(target string) error {
	err := retry(func() error {
		return unix.MoveMount(int(t.file.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	})
	if err != nil {
		return fmt.Errorf("attach at %s: %w", target, &KernelError{Call: "move_mount", Err: err})
	}
	return nil
}

// Close lets go of the tree; one that is not attached is unmounted.
func (t *Tree) Close() error { return t.file.Close() }

// Clone copies the mount that path is on, from path downwards and without mounts below it.
func Clone(path string) (*Tree, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
		return err
	})
	if err == unix.ENOSYS { //nolint:errorlint // straight from the system call
		return nil, fmt.Errorf("clone mount %s: %w", path, ErrNoTrees)
	}
	if err != nil {
		return nil, fmt.Errorf("clone mount %s: %w", path, &KernelError{Call: "open_tree", Err: err})
	}
	return newTree(fd), nil
}

// Private takes the tree out of all propagation.
func (t *Tree) Private() error {
	return t.setAttr(&unix.MountAttr{Propagation: unix.MS_PRIVATE})
}

// ShiftIDs makes the files of the tree appear with the owners that the user namespace's
// mapping gives them. It has to come before Attach.
func (t *Tree) ShiftIDs(userns *os.File) error {
	return t.setAttr(&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())})
}

func (t *Tree) setAttr(attr *unix.MountAttr) error {
	err := retry(func() error { return unix.MountSetattr(int(t.file.Fd()), "", unix.AT_EMPTY_PATH, attr) })
	if err != nil {
		return &KernelError{Call: "mount_setattr", Err: err}
	}
	return nil
}

// newOverlay makes an overlay through file descriptors.
func newOverlay(o *Overlay) (*Tree, error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, &KernelError{Call: "fsopen", Err: err}
	}
	c := &fsContext{file: os.NewFile(uintptr(fd), "overlay")}
	defer c.close()
	return c.overlay(o)
}

// fsContext is a file system instance in the making.
type fsContext struct {
	file *os.File
	// open holds directories until the instance has been made.
	open []*os.File
}

func (c *fsContext) close() {
	closeAll(c.open)
	_ = c.file.Close() // nothing was written through it
}

func (c *fsContext) overlay(o *Overlay) (*Tree, error) {
	if err := c.set("source", "overlay"); err != nil {
		return nil, err
	}
	for _, dir := range o.Lowers {
		if err := c.dir("lowerdir+", dir); err != nil {
			return nil, err
		}
	}
	if o.Upper != "" {
		if err := c.dir("upperdir", o.Upper); err != nil {
			return nil, err
		}
		if err := c.dir("workdir", o.Work); err != nil {
			return nil, err
		}
	}
	if err := c.options(o); err != nil {
		return nil, err
	}
	return c.mount(o.Options.Flags.attrs())
}

func (c *fsContext) options(o *Overlay) error {
	for _, word := range append(o.Options.Flags.instanceWords(), o.Options.Data...) {
		key, value, ok := strings.Cut(word, "=")
		set := func() error { return c.set(key, strings.Trim(value, `"`)) }
		if !ok {
			set = func() error { return c.call(word, func(fd int) error { return unix.FsconfigSetFlag(fd, word) }) }
		}
		if err := set(); err != nil {
			return err
		}
	}
	if o.Context == "" {
		return nil
	}
	return c.set("context", o.Context)
}

// maxString is the longest value that fsconfig(2) takes, without its end.
const maxString = 255

// dir adds a directory: by its path, which people then find in the mount table, where that
// is short and can not be misread, else by a descriptor (Linux 6.13), else by the path
// of a descriptor.
func (c *fsContext) dir(key, path string) error {
	if len(path) <= maxString && !strings.ContainsAny(path, special) {
		return c.set(key, path)
	}
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	c.open = append(c.open, f)
	number := int(f.Fd())
	if unix.FsconfigSetFd(int(c.file.Fd()), key, number) == nil {
		return nil
	}
	c.log() // of the attempt
	return c.set(key, fmt.Sprintf("/proc/self/fd/%d", number))
}

func (c *fsContext) set(key, value string) error {
	if len(value) > maxString {
		return fmt.Errorf("mount option %s of %d bytes, the kernel takes %d: %w", key, len(value), maxString, errdefs.ErrInvalid)
	}
	return c.call(key, func(fd int) error { return unix.FsconfigSetString(fd, key, value) })
}

func (c *fsContext) mount(attrs uint64) (*Tree, error) {
	if err := c.call("", unix.FsconfigCreate); err != nil {
		return nil, err
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Fsmount(int(c.file.Fd()), unix.FSMOUNT_CLOEXEC, int(attrs))
		return err
	})
	if err != nil {
		return nil, &KernelError{Call: "fsmount", Text: c.log(), Err: err}
	}
	return newTree(fd), nil
}

// call runs one fsconfig(2); key is for the message.
func (c *fsContext) call(key string, f func(fd int) error) error {
	err := retry(func() error { return f(int(c.file.Fd())) })
	if err == nil {
		return nil
	}
	name := "fsconfig"
	if key != "" {
		name += " " + key
	}
	return &KernelError{Call: name, Text: c.log(), Err: err}
}

// log drains what the kernel has to say. Each read gives one line, beginning with its kind
// and a space.
func (c *fsContext) log() string {
	var lines []string
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(int(c.file.Fd()), buf)
		if err != nil || n <= 0 {
			return strings.Join(lines, "; ")
		}
		line := strings.TrimSpace(string(buf[:n]))
		if _, text, ok := strings.Cut(line, " "); ok {
			line = text
		}
		lines = append(lines, strings.TrimPrefix(line, "overlay: "))
	}
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR { //nolint:errorlint // straight from the system call
			return err
		}
	}
}
