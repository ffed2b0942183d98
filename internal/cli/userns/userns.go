// Package userns runs the program again inside a user namespace, as its root, so
// that an ordinary user can unpack files of several owners and mount them.
//
// The second process shares the arguments, the streams and the environment, to
// which marks are added that every engine of the field understands. IDs come from
// the user's ranges in /etc/subuid and /etc/subgid, by newuidmap(1) and
// newgidmap(1); without ranges only the user itself is mapped, to root.
package userns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// The marks in the environment of the second process. The first three are shared
// with other engines, which read them to find the user's own store.
const (
	markConfigured = "_CONTAINERS_USERNS_CONFIGURED"
	markUID        = "_CONTAINERS_ROOTLESS_UID"
	markGID        = "_CONTAINERS_ROOTLESS_GID"
	markWait       = "_STRATA_USERNS_WAIT"
)

// waitFD is the descriptor that tells the second process that its IDs are mapped.
const waitFD = 3

// Inside reports whether the process was put into a user namespace by this
// program or by another engine.
func Inside(getenv func(string) (string, bool)) bool {
	v, _ := getenv(markConfigured)
	return v != ""
}

// User returns the user outside of the namespace; ok is false when the process
// was not put into one.
func User(getenv func(string) (string, bool)) (uid int, ok bool) {
	if !Inside(getenv) {
		return 0, false
	}
	v, _ := getenv(markUID)
	uid, err := strconv.Atoi(v)
	return uid, err == nil
}

// Program is what runs inside of the namespace.
type Program struct {
	// Path is the executable, Args the words of its command line with its name.
	Path string
	Args []string
	// Env is the environment to which the marks are added.
	Env                   []string
	Stdin, Stdout, Stderr *os.File
}

// Run runs p as root of a new user and mount namespace and returns its exit code.
// A process that a signal killed has the code 128 and its number, as in shells. A
// SIGTERM that ends ctx is passed on; a SIGINT from a terminal reaches it anyway.
func Run(ctx context.Context, p Program) (code int, err error) {
	maps, err := planMaps(os.Geteuid(), os.Getegid())
	if err != nil {
		return 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	cmd := &exec.Cmd{
		Path: p.Path, Args: p.Args, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr, ExtraFiles: []*os.File{r},
		Env: append(append([]string{}, p.Env...),
			markConfigured+"=done", fmt.Sprintf("%s=%d", markUID, os.Geteuid()), fmt.Sprintf("%s=%d", markGID, os.Getegid()),
			fmt.Sprintf("%s=%d", markWait, waitFD)),
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS},
	}
	err = cmd.Start()
	if err = errors.Join(err, r.Close()); err != nil {
		return 0, fmt.Errorf("make a user namespace: %w", err)
	}
	if err := release(ctx, w, cmd.Process.Pid, maps); err != nil {
		return 0, errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	stop := context.AfterFunc(ctx, func() { passOn(ctx, cmd.Process) })
	defer stop()
	if err := ignoreExit(cmd.Wait()); err != nil {
		return 0, err
	}
	return exitCode(cmd.ProcessState), nil
}

// release maps the process's IDs and lets it go on.
func release(ctx context.Context, w io.Writer, pid int, m maps) error {
	if err := m.install(ctx, pid); err != nil {
		return err
	}
	_, err := w.Write([]byte{1})
	return err
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// passOn forwards the signal that ended the context, unless a terminal sends it
// to both processes.
func passOn(ctx context.Context, p *os.Process) {
	var sig interface{ Signal() os.Signal }
	if errors.As(context.Cause(ctx), &sig) && sig.Signal() == os.Interrupt {
		return
	}
	_ = p.Signal(syscall.SIGTERM) // it may have ended already
}

// Resume does nothing in an ordinary process. In the second one it waits until
// the IDs are mapped and executes the program anew, which makes it root; it then
// does not return unless it fails.
func Resume(getenv func(string) (string, bool), args, env []string) error {
	if v, _ := getenv(markWait); v == "" {
		return nil
	}
	f := os.NewFile(waitFD, "user namespace")
	if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
		return errors.New("the IDs of the user namespace were not mapped")
	}
	if err := f.Close(); err != nil {
		return err
	}
	var rest []string
	for _, v := range env {
		if !strings.HasPrefix(v, markWait+"=") {
			rest = append(rest, v)
		}
	}
	return fmt.Errorf("start again as root of the user namespace: %w", syscall.Exec("/proc/self/exe", args, rest))
}
