package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
)

// runIn runs a shell's line with root as its root directory, in mount, PID and
// IPC namespaces of its own, so that nothing of it outlives the step.
func runIn(ctx context.Context, root, line string, output io.Writer) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     root,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd.Run()
}

// copyInto copies "SOURCE TARGET": a file or tree of the context directory to a
// path in the tree at root. Neither side leaves its directory, whatever symbolic
// links are there: both are opened as an os.Root.
func copyInto(root, dir, args string) (err error) {
	words := strings.Fields(args)
	if len(words) != 2 {
		return fmt.Errorf("COPY takes a source and a target")
	}
	from, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	source, target := path.Clean(words[0]), strings.Trim(words[1], "/")
	if strings.HasSuffix(words[1], "/") {
		target = path.Join(target, path.Base(source))
	}
	return fs.WalkDir(from.FS(), source, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below := name
		if source != "." {
			below = strings.TrimPrefix(name, source)
		}
		return copyOne(to, from, path.Join(target, below), name, d)
	})
}

func copyOne(to, from *os.Root, target, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case d.IsDir():
		return to.MkdirAll(target, mode.Perm())
	case mode&fs.ModeSymlink != 0:
		link, err := from.Readlink(name)
		if err != nil {
			return err
		}
		return to.Symlink(link, target)
	case mode.IsRegular():
		return copyFile(to, from, target, name, mode.Perm())
	}
	return fmt.Errorf("%s: neither a file, a directory nor a symbolic link", name)
}

func copyFile(to, from *os.Root, target, name string, mode fs.FileMode) error {
	if err := to.MkdirAll(path.Dir(target), 0o755); err != nil {
		return err
	}
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	if err := out.Chmod(mode); err != nil { // whatever the umask
		out.Close()
		return err
	}
	return out.Close()
}
