package local

import (
	"context"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOptions are the words of the option o, sorted by whom they are for.
type mountOptions struct {
	flags       uintptr
	propagation uintptr // for a second call, 0 for none
	data        []string
}

// flagWords set (or clear) a flag of mount(2).
var flagWords = map[string]struct {
	clear bool
	flag  uintptr
}{
	"defaults": {}, "async": {true, unix.MS_SYNCHRONOUS}, "sync": {false, unix.MS_SYNCHRONOUS},
	"ro": {false, unix.MS_RDONLY}, "rw": {true, unix.MS_RDONLY},
	"suid": {true, unix.MS_NOSUID}, "nosuid": {false, unix.MS_NOSUID},
	"dev": {true, unix.MS_NODEV}, "nodev": {false, unix.MS_NODEV},
	"exec": {true, unix.MS_NOEXEC}, "noexec": {false, unix.MS_NOEXEC},
	"dirsync": {false, unix.MS_DIRSYNC}, "mand": {false, unix.MS_MANDLOCK}, "nomand": {true, unix.MS_MANDLOCK},
	"atime": {true, unix.MS_NOATIME}, "noatime": {false, unix.MS_NOATIME},
	"diratime": {true, unix.MS_NODIRATIME}, "nodiratime": {false, unix.MS_NODIRATIME},
	"relatime": {false, unix.MS_RELATIME}, "norelatime": {true, unix.MS_RELATIME},
	"strictatime": {false, unix.MS_STRICTATIME}, "nostrictatime": {true, unix.MS_STRICTATIME},
	"bind": {false, unix.MS_BIND}, "rbind": {false, unix.MS_BIND | unix.MS_REC},
}

// propagationWords want a mount call of their own.
var propagationWords = map[string]uintptr{
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC,
	"shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC,
	"slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

// parseMountOptions sorts the words of text. What it does not know is the file system's,
// which judges it when it is mounted; words that would act on another mount are refused.
func parseMountOptions(text string) (mountOptions, error) {
	var o mountOptions
	for word := range strings.SplitSeq(text, ",") {
		if word == "remount" || word == "move" {
			return mountOptions{}, fmt.Errorf("%w: %q in o", ErrOption, word)
		}
		if f, ok := flagWords[word]; ok {
			if f.clear {
				o.flags &^= f.flag
			} else {
				o.flags |= f.flag
			}
		} else if p, ok := propagationWords[word]; ok {
			o.propagation = p
		} else if word != "" {
			o.data = append(o.data, word)
		}
	}
	return o, nil
}

// resolveAddress replaces the host name of an "addr=" by its address: the kernel's clients
// of network file systems know no names.
func (o *mountOptions) resolveAddress(ctx context.Context) error {
	for i, word := range o.data {
		host, ok := strings.CutPrefix(word, "addr=")
		if !ok || host == "" || net.ParseIP(strings.Trim(host, "[]")) != nil {
			continue
		}
		addresses, err := net.DefaultResolver.LookupIPAddr(ctx, host)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", word, err)
		}
		o.data[i] = "addr=" + addresses[0].String()
	}
	return nil
}

// mount mounts a volume at target. When it fails nothing is left mounted.
func (s spec) mount(ctx context.Context, target string) error {
	o, err := parseMountOptions(s.MountOpts)
	if err != nil {
		return err
	}
	switch s.MountType {
	case "nfs", "nfs4", "cifs", "smb3":
		if err := o.resolveAddress(ctx); err != nil {
			return err
		}
	}
	first := o.flags
	if o.flags&unix.MS_BIND != 0 {
		first &= unix.MS_BIND | unix.MS_REC // the kernel ignores the others here
	}
	data := strings.Join(o.data, ",")
	if err := unix.Mount(s.MountDevice, target, s.MountType, first, data); err != nil {
		return fmt.Errorf("mount %s type %q flags %#x data %q: %w", mask(s.MountDevice), s.MountType, first, mask(data), err)
	}
	if err := o.finish(target, first); err != nil {
		_ = unix.Unmount(target, unix.MNT_DETACH) // the first error is the one to tell
		return err
	}
	return nil
}

// finish makes the calls that a mount needs after the first: a bind mount takes its flags,
// and any mount its propagation, only then.
func (o mountOptions) finish(target string, first uintptr) error {
	if rest := o.flags &^ (unix.MS_BIND | unix.MS_REC); first&unix.MS_BIND != 0 && rest != 0 {
		if err := unix.Mount("", target, "", rest|unix.MS_BIND|unix.MS_REMOUNT, ""); err != nil {
			return fmt.Errorf("set flags %#x of a bind mount: %w", rest, err)
		}
	}
	if o.propagation != 0 {
		if err := unix.Mount("", target, "", o.propagation, ""); err != nil {
			return fmt.Errorf("set propagation: %w", err)
		}
	}
	return nil
}
