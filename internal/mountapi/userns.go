package mountapi

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/idmap"
)

// UserNamespace makes a user namespace that has m, for Tree.ShiftIDs. The caller closes
// the file, and the namespace goes with its last user. Both lists of m must have ranges.
//
// A namespace belongs to a process at first, so one is started and killed again. It is this
// very program, held before its first instruction by the trap that a traced process
// meets when it executes a program; none of its code runs.
func UserNamespace(m idmap.Mapping) (*os.File, error) {
	if len(m.UIDs) == 0 || len(m.GIDs) == 0 {
		return nil, fmt.Errorf("user namespace without UID or GID ranges: %w", errdefs.ErrInvalid)
	}
	type result struct {
		ns  *os.File
		err error
	}
	done := make(chan result, 1)
	go func() {
		// A tracer is a thread, and the child's death signal is tied to it as well.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		ns, err := startUserNamespace(m)
		done <- result{ns, err}
	}()
	r := <-done
	return r.ns, r.err
}

func startUserNamespace(m idmap.Mapping) (*os.File, error) {
	p, err := os.StartProcess("/proc/self/exe", []string{"strata-userns"}, &os.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: sysMap(m.UIDs),
			GidMappings: sysMap(m.GIDs),
			Ptrace:      true,
			Pdeathsig:   syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make user namespace: %w", err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	if err != nil {
		err = fmt.Errorf("open user namespace: %w", err)
	}
	return ns, errors.Join(err, end(p))
}

// end kills and reaps the process. The first report may still be the trap.
func end(p *os.Process) error {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process of user namespace: %w", err)
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(p.Pid, &status, syscall.WALL, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return errors.Join(fmt.Errorf("end process of user namespace: %w", err), p.Release())
		case pid == p.Pid && (status.Exited() || status.Signaled()):
			return p.Release()
		}
	}
}

func sysMap(ranges []idmap.Range) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, r := range ranges {
		out = append(out, syscall.SysProcIDMap{ContainerID: r.ContainerID, HostID: r.HostID, Size: r.Size})
	}
	return out
}
