package lockfile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/lockfile"
)

// roleVariable makes the test binary a second process that holds a lock: see hold.
const roleVariable = "LOCKFILE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := hold(role, os.Args[1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold takes a lock in the manner of role ("shared", "exclusive" or, with the
// per-process locks of the other engines, "classic-shared", "classic-exclusive"),
// says "held", and lets go when its input ends.
func hold(role, path string) error {
	mode, classic := strings.CutPrefix(role, "classic-")
	var release func() error
	if classic {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, classicLock(mode)); err != nil {
			return err
		}
		release = f.Close
	} else {
		held, err := take(context.Background(), lockfile.New(path, lockfile.Options{}), mode)
		if err != nil {
			return err
		}
		release = held.Unlock
	}
	fmt.Println("held")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return release()
}

func classicLock(mode string) *unix.Flock_t {
	if mode == "shared" {
		return &unix.Flock_t{Type: unix.F_RDLCK}
	}
	return &unix.Flock_t{Type: unix.F_WRLCK}
}

func take(ctx context.Context, l *lockfile.Lock, mode string) (*lockfile.Held, error) {
	if mode == "shared" {
		return l.Shared(ctx)
	}
	return l.Exclusive(ctx)
}

// process is a second process that holds a lock.
type process struct {
	cmd   *exec.Cmd
	input io.Closer
}

// startHolder starts one and waits until it has the lock.
func startHolder(t *testing.T, role, path string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd, in}
	t.Cleanup(func() { p.kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	return p
}

// release lets the process give its lock back and end.
func (p *process) release(t *testing.T) {
	t.Helper()
	if err := p.input.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("holder: %v", err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// soon is a context for what should happen at once, also on a machine that is busy.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// shortly is a context for what should not happen.
func shortly(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// textLogger logs messages, one on a line.
func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
