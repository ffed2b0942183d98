package faulttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Class says which calls are counted.
type Class int

const (
	// Mutating calls change files, names, attributes or mounts, or make such a change last.
	Mutating Class = iota
	// Opening calls open something below Command.Watch, for whatever purpose.
	Opening
)

// Action says what happens at a call.
type Action int

const (
	// Count lets everything run.
	Count Action = iota
	// Kill ends all processes by SIGKILL before the call runs.
	Kill
	// KillAfter does that when the call has run.
	KillAfter
	// Fail makes the call return an error instead of running.
	Fail
)

// Plan says which call misbehaves, and how. The zero value counts.
type Plan struct {
	Action Action
	Class  Class
	// Call is the number of the call, from 1.
	Call int
	// Errno is what Fail returns.
	Errno unix.Errno
	// Timeout ends a run that hangs; 0 is five minutes.
	Timeout time.Duration
}

// Command is what is run.
type Command struct {
	// Args[0] is the program's path.
	Args []string
	// Env is the whole environment.
	Env []string
	// Stdin is a file that is its standard input; "" is /dev/null.
	Stdin string
	// Watch is the directory below which Opening counts.
	Watch string
}

// Report says how a run went.
type Report struct {
	// Calls were counted, in this order.
	Calls []string
	// Hit is the call that the plan was carried out at; "" if the run had fewer.
	Hit string
	// Status is how the process ended.
	Status unix.WaitStatus
	// Hung is set when the run was ended for taking too long.
	Hung           bool
	Stdout, Stderr string
}

// Exited returns the exit code, -1 for a process that was killed.
func (r *Report) Exited() int {
	if r.Status.Exited() {
		return r.Status.ExitStatus()
	}
	return -1
}

// Run runs the command under the plan and waits for all of its processes. The program
// that calls it has called Launch.
func Run(ctx context.Context, cmd Command, plan Plan) (*Report, error) {
	if plan.Timeout == 0 {
		plan.Timeout = 5 * time.Minute
	}
	type result struct {
		report *Report
		err    error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // the thread is the tracer, and ends with this function
		t := &tracer{cmd: cmd, plan: plan, threads: map[int]bool{}, report: &Report{}}
		err := t.run(ctx)
		done <- result{t.report, err}
	}()
	r := <-done
	return r.report, r.err
}

func (t *tracer) run(ctx context.Context) error {
	out, err := memory("stdout")
	if err != nil {
		return err
	}
	defer out.Close()
	errs, err := memory("stderr")
	if err != nil {
		return err
	}
	defer errs.Close()
	if err := t.start(out, errs); err != nil {
		return fmt.Errorf("start %s: %w", t.cmd.Args[0], err)
	}
	err = t.follow(ctx)
	if t.report.Stdout, err = text(out, err); err != nil {
		return err
	}
	t.report.Stderr, err = text(errs, err)
	return err
}

// memory makes a file that is nowhere.
func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("file for %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func text(f *os.File, earlier error) (string, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	return string(data), errors.Join(earlier, err)
}

// start starts the launcher, which waits for its tracer.
func (t *tracer) start(out, errs *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	name := t.cmd.Stdin
	if name == "" {
		name = os.DevNull
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	// Without the runtime's own signals there are fewer stops.
	env := append([]string{launchEnv + "=1", "GODEBUG=asyncpreemptoff=1"}, t.cmd.Env...)
	t.pid, err = syscall.ForkExec(self, append([]string{self}, t.cmd.Args...), &syscall.ProcAttr{
		Env: env, Files: []uintptr{in.Fd(), out.Fd(), errs.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	return err
}
