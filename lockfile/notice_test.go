package lockfile_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratastore/strata/lockfile"
)

// output is a buffer for a logger and a test at once.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestWaitNotice(t *testing.T) {
	for _, role := range []string{"exclusive", "classic-exclusive", "shared"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			path := lockPath(t)
			p := startHolder(t, role, path)
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("waiting for lock %s held by PID %d (%s)", path, p.cmd.Process.Pid, strings.TrimSpace(string(comm)))
			checkNotice(t, path, want, func() { p.release(t) })
		})
	}
}

func TestWaitNoticeForThisProcess(t *testing.T) {
	path := lockPath(t)
	l := lockfile.New(path, lockfile.Options{})
	held, err := l.Exclusive(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("held by PID %d (this process)", os.Getpid())
	checkNotice(t, path, want, func() { unlock(t, held) })
}

// checkNotice waits for the lock until a message has come, then has it released.
func checkNotice(t *testing.T, path, want string, release func()) {
	t.Helper()
	var out output
	l := lockfile.New(path, lockfile.Options{Logger: textLogger(&out), WaitNotice: 10 * time.Millisecond})
	got := make(chan error, 1)
	go func() {
		held, err := l.Exclusive(soon(t))
		if err == nil {
			err = held.Unlock()
		}
		got <- err
	}()
	for start := time.Now(); !strings.Contains(out.String(), want); time.Sleep(time.Millisecond) {
		if time.Since(start) > 4*time.Minute {
			t.Errorf("log %q lacks %q", out.String(), want)
			break
		}
	}
	release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestNoNoticeWithoutWaiting(t *testing.T) {
	var out output
	l := lockfile.New(lockPath(t), lockfile.Options{Logger: textLogger(&out), WaitNotice: time.Nanosecond})
	checkTake(t, l, "exclusive", true)
	if out.String() != "" {
		t.Errorf("log %q", out.String())
	}
}

func TestNoticeCanBeOff(t *testing.T) {
	var out output
	path := lockPath(t)
	p := startHolder(t, "exclusive", path)
	l := lockfile.New(path, lockfile.Options{Logger: textLogger(&out), WaitNotice: -1})
	checkTake(t, l, "exclusive", false)
	p.release(t)
	if out.String() != "" {
		t.Errorf("log %q", out.String())
	}
}
