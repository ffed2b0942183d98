package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// tracer follows one process, its threads and its children. All of it runs on the
// thread that started the process: the kernel takes orders from no other one.
type tracer struct {
	cmd  Command
	plan Plan

	pid     int
	threads map[int]bool // known ones; false until their first stop was seen
	began   bool         // the program runs, no longer the launcher
	leaving int          // the thread whose call has to end before everything is killed
	report  *Report
}

const (
	options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL
	// syscallStop is the signal of a stop at a call's end (PTRACE_O_TRACESYSGOOD).
	syscallStop = unix.SIGTRAP | 0x80
)

// follow attends to stops until no process is left.
func (t *tracer) follow(ctx context.Context) error {
	var status unix.WaitStatus
	if _, err := wait(t.pid, &status); err != nil {
		return err
	}
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return fmt.Errorf("set options of tracing: %w", err)
	}
	t.threads[t.pid] = true
	end := t.watch(ctx)
	defer end()
	if err := unix.PtraceCont(t.pid, 0); err != nil {
		return fmt.Errorf("go on: %w", err)
	}
	for {
		pid, err := wait(-t.pid, &status)
		if errors.Is(err, unix.ECHILD) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := t.attend(pid, status); err != nil && !errors.Is(err, unix.ESRCH) {
			t.kill()
			return err
		}
	}
}

// watch ends a run that takes too long.
func (t *tracer) watch(ctx context.Context) (end func()) {
	var hung atomic.Bool
	timer := time.AfterFunc(t.plan.Timeout, func() {
		hung.Store(true)
		_ = unix.Kill(t.pid, unix.SIGKILL)
	})
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(t.pid, unix.SIGKILL) })
	return func() {
		timer.Stop()
		stop()
		t.report.Hung = hung.Load()
	}
}

// wait waits for a process or, for a negative pid, any of its group: this thread may
// have other children, of other goroutines.
func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, unix.WALL|unix.WNOTHREAD, nil)
		if !errors.Is(err, unix.EINTR) {
			return got, err
		}
	}
}

// attend deals with one change of a thread's state and lets it go on.
func (t *tracer) attend(pid int, status unix.WaitStatus) error {
	switch {
	case status.Exited() || status.Signaled():
		delete(t.threads, pid)
		if pid == t.pid {
			t.report.Status = status
		}
		return nil
	case !status.Stopped():
		return nil
	}
	signal := status.StopSignal()
	switch {
	case signal == unix.SIGTRAP:
		return t.event(pid, int(status)>>16)
	case signal == syscallStop && pid == t.leaving:
		t.kill()
		return nil
	case signal == unix.SIGSTOP && !t.threads[pid]:
		t.threads[pid] = true // every new thread begins with this
		return unix.PtraceCont(pid, 0)
	case signal == syscallStop:
		return unix.PtraceCont(pid, 0)
	}
	return unix.PtraceCont(pid, int(signal))
}

func (t *tracer) event(pid, event int) error {
	switch event {
	case unix.PTRACE_EVENT_EXEC:
		t.began = true
	case unix.PTRACE_EVENT_SECCOMP:
		return t.stopped(pid)
	}
	return unix.PtraceCont(pid, 0)
}

// stopped is for a thread that is about to run one of the calls.
func (t *tracer) stopped(pid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	s := stop{pid: pid, regs: &regs}
	if !t.began || !s.counts(t.plan.Class, t.cmd.Watch) {
		return unix.PtraceCont(pid, 0)
	}
	t.report.Calls = append(t.report.Calls, s.String())
	if t.plan.Action == Count || len(t.report.Calls) != t.plan.Call {
		return unix.PtraceCont(pid, 0)
	}
	t.report.Hit = s.String()
	switch t.plan.Action {
	case Kill:
		t.kill()
		return nil
	case KillAfter:
		t.leaving = pid
		return unix.PtraceSyscall(pid, 0)
	}
	replace(&regs, t.plan.Errno)
	if err := unix.PtraceSetRegs(pid, &regs); err != nil {
		return err
	}
	return unix.PtraceCont(pid, 0)
}

// kill ends everything. The threads that are stopped do not run again.
func (t *tracer) kill() {
	_ = unix.Kill(t.pid, unix.SIGKILL)
	for pid := range t.threads {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
