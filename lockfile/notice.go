package lockfile

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// watch logs who is waited for, after the notice time and then at doubling
// intervals, until the returned function is called.
func (l *Lock) watch(m mode) (stop func()) {
	if l.opts.WaitNotice < 0 {
		return func() {}
	}
	n := &notice{lock: l, mode: m, pause: l.opts.WaitNotice}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.timer = time.AfterFunc(n.pause, n.fire)
	return n.stop
}

type notice struct {
	lock  *Lock
	mode  mode
	mu    sync.Mutex
	timer *time.Timer
	pause time.Duration
	done  bool
}

func (n *notice) fire() {
	// Finding the holder takes a while; if the lock comes meanwhile, stop must not wait.
	holder := n.lock.holder(n.mode)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.done {
		return
	}
	n.lock.opts.Logger.Warn(fmt.Sprintf("waiting for lock %s held by %s", n.lock.path, holder))
	n.pause *= 2
	n.timer.Reset(n.pause)
}

func (n *notice) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done = true
	n.timer.Stop()
}

// holder describes who keeps m out, for people: "PID 12 (podman)".
func (l *Lock) holder(m mode) string {
	f, err := os.Open(l.path)
	if err != nil {
		return "somebody else"
	}
	defer f.Close() // read only: nothing to lose
	held, pid, err := blocked(f, m)
	switch {
	case err != nil || !held:
		return "somebody else"
	case pid <= 0:
		return describeUnknown(f)
	default:
		return describeProcess(pid)
	}
}
