package drivertest

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// step is one change, the same on every driver.
type step struct {
	what string
	do   func(dir string) error
	// touched are the paths whose times do changes; they are set to the history's clock.
	touched []string
}

// change plays steps on both trees.
func (h *history) change(dirs [2]string, steps int) {
	h.Helper()
	inherited := h.scan(dirs[0], nil).inodes()
	for n := 0; n < steps; {
		t := h.scan(dirs[0], inherited)
		s, ok := h.step(t)
		if !ok {
			continue // nothing fits; another draw will
		}
		n++
		h.play(dirs, s)
	}
}

func (h *history) play(dirs [2]string, s step) {
	h.Helper()
	at := h.now()
	h.log = append(h.log, "\t"+s.what)
	var errs [2]error
	for i, dir := range dirs {
		if errs[i] = s.do(dir); errs[i] == nil {
			errs[i] = stampAll(dir, s.touched, at)
		}
	}
	if errs[0] != nil || errs[1] != nil {
		h.failed(fmt.Sprintf("%s: %v on %s, %v on %s", s.what, errs[0], h.drivers[0].Name(), errs[1], h.drivers[1].Name()))
	}
}

// stampAll sets the times of paths, children before their directories.
func stampAll(dir string, paths []string, at time.Time) error {
	ts := []unix.Timespec{unix.NsecToTimespec(at.UnixNano()), unix.NsecToTimespec(at.UnixNano())}
	for _, p := range paths {
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, p), ts, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set times of %s: %w", p, err)
		}
	}
	return nil
}

func above(p string) string {
	if d := path.Dir(p); d != "." {
		return d
	}
	return ""
}

// step draws one change; false if the tree has nothing that it could be done to.
func (h *history) step(t tree) (step, bool) {
	kinds := []func(tree) (step, bool){
		h.makeFile, h.makeFile, h.makeFile, h.makeDir, h.makeDir, h.makeLink, h.makeNode,
		h.hardLink, h.rename, h.renameOver, h.rewrite, h.resize, h.removeFile, h.removeTree,
		h.chmod, h.chown, h.setXattr, h.removeXattr, h.setCapability, h.touch, h.remakeDir, h.becomeOther,
	}
	return kinds[h.rng.IntN(len(kinds))](t)
}

func (h *history) bytes() []byte {
	sizes := []int{0, 1, 5, 300, 4096, 70_000}
	b := make([]byte, sizes[h.rng.IntN(len(sizes))])
	for i := range b {
		b[i] = 'a' + byte(h.rng.IntN(26))
	}
	return b
}

func (h *history) makeFile(t tree) (step, bool) {
	p, content := h.fresh(t), h.bytes()
	return step{
		what: fmt.Sprintf("write new %s (%d bytes)", p, len(content)), touched: []string{p, above(p)},
		do: func(dir string) error { return os.WriteFile(filepath.Join(dir, p), content, 0o644) },
	}, true
}

func (h *history) makeDir(t tree) (step, bool) {
	p := h.fresh(t)
	return step{what: "mkdir " + p, touched: []string{p, above(p)}, do: mkdir(p)}, true
}

func (h *history) makeLink(t tree) (step, bool) {
	p, target := h.fresh(t), strings.Repeat("../", h.rng.IntN(3))+fmt.Sprint("n", h.rng.IntN(5))
	return step{
		what: fmt.Sprintf("symlink %s -> %s", p, target), touched: []string{p, above(p)},
		do: func(dir string) error { return os.Symlink(target, filepath.Join(dir, p)) },
	}, true
}

func (h *history) makeNode(t tree) (step, bool) {
	p := h.fresh(t)
	kinds := []struct {
		mode uint32
		dev  uint64
	}{{unix.S_IFIFO, 0}, {unix.S_IFCHR, unix.Mkdev(1, 3)}, {unix.S_IFBLK, unix.Mkdev(8, 1)}}
	k := kinds[h.rng.IntN(len(kinds))]
	return step{
		what: fmt.Sprintf("mknod %s %o", p, k.mode), touched: []string{p, above(p)},
		do: func(dir string) error { return unix.Mknod(filepath.Join(dir, p), k.mode|0o600, int(k.dev)) },
	}, true
}

func (h *history) hardLink(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return !o.isDir() && !o.sealed })
	p := h.fresh(t)
	return step{
		what: fmt.Sprintf("link %s as %s", o.path, p), touched: []string{above(p)},
		do: func(dir string) error {
			h.relinked = h.relinked || o.inherited
			return os.Link(filepath.Join(dir, o.path), filepath.Join(dir, p))
		},
	}, ok
}

// movable: overlayfs renames what this layer made, and files of any.
func movable(o object) bool { return o.path != "" && !o.sealed && (!o.isDir() || !o.inherited) }

func (h *history) rename(t tree) (step, bool) {
	o, ok := h.pick(t, movable)
	p := h.fresh(t)
	if strings.HasPrefix(p+"/", o.path+"/") { // into itself
		return step{}, false
	}
	return h.renaming(o, p), ok
}

func (h *history) renameOver(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return movable(o) && !o.isDir() })
	over, found := h.pick(t, func(v object) bool { return !v.isDir() && !v.sealed && v.inode != o.inode })
	return h.renaming(o, over.path), ok && found
}

func (h *history) renaming(o object, to string) step {
	return step{
		what: fmt.Sprintf("rename %s to %s", o.path, to), touched: []string{to, above(o.path), above(to)},
		do: func(dir string) error { return os.Rename(filepath.Join(dir, o.path), filepath.Join(dir, to)) },
	}
}

func (h *history) rewrite(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.isRegular() && !o.sealed })
	content := h.bytes()
	return step{
		what: fmt.Sprintf("rewrite %s (%d bytes)", o.path, len(content)), touched: []string{o.path},
		do: func(dir string) error { return os.WriteFile(filepath.Join(dir, o.path), content, 0o600) },
	}, ok
}

func (h *history) resize(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.isRegular() && !o.sealed })
	size := int64(h.rng.IntN(200_000))
	return step{
		what: fmt.Sprintf("truncate %s to %d", o.path, size), touched: []string{o.path},
		do: func(dir string) error { return os.Truncate(filepath.Join(dir, o.path), size) },
	}, ok
}

func (h *history) removeFile(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return !o.isDir() && !o.sealed })
	return step{
		what: "remove " + o.path, touched: []string{above(o.path)},
		do: func(dir string) error { return os.Remove(filepath.Join(dir, o.path)) },
	}, ok
}

func (h *history) removeTree(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.isDir() && o.path != "" && !o.sealed })
	return step{what: "remove tree " + o.path, touched: []string{above(o.path)}, do: removeAll(o.path)}, ok
}

// remakeDir makes an opaque directory on overlayfs.
func (h *history) remakeDir(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.isDir() && o.path != "" && !o.sealed })
	inside := path.Join(o.path, fmt.Sprint("n", h.rng.IntN(5)))
	return step{
		what: "remove and make again " + o.path, touched: []string{inside, o.path, above(o.path)},
		do: func(dir string) error {
			return errors.Join(removeAll(o.path)(dir), mkdir(o.path)(dir), writeFile(inside, "again")(dir))
		},
	}, ok
}

// becomeOther turns a directory into a file and anything else into a directory.
func (h *history) becomeOther(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.path != "" && !o.sealed })
	create := mkdir(o.path)
	if o.isDir() {
		create = writeFile(o.path, "was a directory")
	}
	return step{
		what: "change the type of " + o.path, touched: []string{o.path, above(o.path)},
		do: func(dir string) error { return errors.Join(removeAll(o.path)(dir), create(dir)) },
	}, ok
}

func (h *history) chmod(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool {
		return o.kind != unix.S_IFLNK && o.path != "" && !o.sealed || o.isDir() && o.path != ""
	})
	modes := []uint32{0, 0o400, 0o644, 0o755, 0o4711, 0o2775, 0o1777}
	mode := modes[h.rng.IntN(len(modes))]
	return step{
		what: fmt.Sprintf("chmod %s %o", o.path, mode), touched: []string{o.path},
		do: func(dir string) error { return unix.Chmod(filepath.Join(dir, o.path), mode) },
	}, ok
}

func (h *history) chown(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.path != "" && (o.isDir() || !o.sealed) })
	uid, gid := h.rng.IntN(3)*1000, h.rng.IntN(3)*1000
	return step{
		what: fmt.Sprintf("chown %s %d:%d", o.path, uid, gid), touched: []string{o.path},
		do: func(dir string) error { return os.Lchown(filepath.Join(dir, o.path), uid, gid) },
	}, ok
}

// attributable: user.* attributes go on files and directories only (xattr(7)).
func attributable(o object) bool {
	return o.path != "" && (o.isDir() || o.isRegular() && !o.sealed)
}

func (h *history) setXattr(t tree) (step, bool) {
	o, ok := h.pick(t, attributable)
	name, value := fmt.Sprint("user.r", h.rng.IntN(3)), h.bytes()
	value = value[:min(len(value), 300)]
	return step{
		what: fmt.Sprintf("set %s of %s", name, o.path), touched: []string{o.path},
		do: func(dir string) error { return unix.Lsetxattr(filepath.Join(dir, o.path), name, value, 0) },
	}, ok
}

func (h *history) removeXattr(t tree) (step, bool) {
	o, ok := h.pick(t, attributable)
	name := fmt.Sprint("user.r", h.rng.IntN(3))
	return step{
		what: fmt.Sprintf("remove %s of %s", name, o.path), touched: []string{o.path},
		do: func(dir string) error {
			if err := unix.Lremovexattr(filepath.Join(dir, o.path), name); !errors.Is(err, unix.ENODATA) {
				return err
			}
			return nil
		},
	}, ok
}

func (h *history) setCapability(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.isRegular() && !o.sealed })
	return step{
		what: "set capability of " + o.path, touched: []string{o.path},
		do: func(dir string) error {
			return unix.Lsetxattr(filepath.Join(dir, o.path), "security.capability", []byte(capability), 0)
		},
	}, ok
}

func (h *history) touch(t tree) (step, bool) {
	o, ok := h.pick(t, func(o object) bool { return o.path != "" && (o.isDir() || !o.sealed) })
	return step{what: "touch " + o.path, touched: []string{o.path}, do: func(string) error { return nil }}, ok
}
