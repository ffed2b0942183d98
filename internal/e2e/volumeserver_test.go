package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stratastore/strata/internal/cli"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/mountapi"
)

// killPoint turns the test binary into the command under test, which is killed at a step
// of the volume driver.
const killPoint = "STRATA_E2E_KILL"

func mortalStrata() int {
	defer faults.Enable(faults.Rule{Point: os.Getenv(killPoint), Do: func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }})()
	return cli.Run(context.Background(), cli.System())
}

// patience is how long anything may take that does come: the machine may have other work.
const patience = 3 * time.Minute

// volumeServer is strata volume serve in a process of its own.
type volumeServer struct {
	t      *testing.T
	r      *roots
	socket string
	cmd    *exec.Cmd
	ended  *ending
}

// ending is how a process ends, for any number of waiters.
type ending struct {
	done chan struct{}
	err  error
}

func (e *ending) wait() error {
	<-e.done
	return e.err
}

// serveVolumes starts a server on the store of r. Its state is the store's own.
func serveVolumes(t *testing.T, r *roots, socket string) *volumeServer {
	t.Helper()
	s := &volumeServer{t: t, r: r, socket: socket}
	t.Cleanup(s.clean)
	s.start("")
	return s
}

func (s *volumeServer) args() []string {
	return []string{"--graph", s.r.graph(), "--run", s.r.runRoot(), "-s", s.r.driver, "volume", "serve", "--socket", s.socket, "--log-level", "info"}
}

// start starts the server; at is the step where it is to be killed, "" for none.
func (s *volumeServer) start(at string) {
	s.t.Helper()
	s.cmd = exec.Command(binary, s.args()...)
	s.cmd.Env = s.r.env
	if at != "" {
		s.cmd.Path = os.Args[0]
		s.cmd.Args[0] = "strata"
		s.cmd.Env = append(s.cmd.Env, killPoint+"="+at)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(s.t, err)
	defer log.Close()
	s.cmd.Stderr = log
	must(s.t, s.cmd.Start())
	e := &ending{done: make(chan struct{})}
	s.ended = e
	go func(cmd *exec.Cmd) {
		e.err = cmd.Wait()
		close(e.done)
	}(s.cmd)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", s.socket); err == nil {
			must(s.t, conn.Close())
			return
		}
	}
	s.t.Fatalf("the server does not answer:\n%s", s.log())
}

func (s *volumeServer) logFile() string { return filepath.Join(s.r.dir, "server.log") }

func (s *volumeServer) log() string {
	text, _ := os.ReadFile(s.logFile())
	return string(text)
}

// stop ends the server as systemd does: it has to end well, and without its socket.
func (s *volumeServer) stop() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	if err := s.ended.wait(); err != nil {
		s.t.Errorf("after SIGTERM: %v\n%s", err, s.log())
	}
	if _, err := os.Lstat(s.socket); !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("the socket is left: %v", err)
	}
	s.ended = nil
}

func (s *volumeServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.ended.wait()
	s.ended = nil
}

// killedAt replaces the server by one that is killed at a step, and by a sound one as soon
// as that has happened. The returned function waits for it.
func (s *volumeServer) killedAt(at string) (restarted func()) {
	s.t.Helper()
	s.stop()
	s.start(at)
	again := make(chan error, 1)
	go func(e *ending) {
		err := e.wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			err = fmt.Errorf("the server ended otherwise: %w", err)
		} else {
			err = nil
		}
		again <- err
	}(s.ended)
	return func() {
		s.t.Helper()
		select {
		case err := <-again:
			must(s.t, err)
		case <-time.After(patience):
			s.t.Fatalf("the server was not killed at %s:\n%s", at, s.log())
		}
		s.start("")
	}
}

func (s *volumeServer) state() string { return filepath.Join(s.r.graph(), "strata", "ontop") }

func (s *volumeServer) mountpoint(volume string) string {
	return filepath.Join(s.state(), volume, "mountpoint")
}

// overlays counts the mounts at a volume's mount point.
func (s *volumeServer) overlays(volume string) int {
	s.t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(s.t, err)
	return strings.Count(string(table), " "+s.mountpoint(volume)+" ")
}

// users lists who is on record.
func (s *volumeServer) users(volume string) []string {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.state(), volume, "activemounts"))
	must(s.t, err)
	var ids []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	return ids
}

// unused demands that nobody is on record and nothing is mounted. The engine may be a
// moment later than its command.
func (s *volumeServer) unused(volume string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s.overlays(volume) == 0 && len(s.users(volume)) == 0 {
			return
		}
	}
	s.t.Errorf("volume %s: %d mounts, users %v\n%s", volume, s.overlays(volume), s.users(volume), s.log())
}

func (s *volumeServer) clean() {
	if s.ended != nil {
		s.kill()
	}
	points, _ := filepath.Glob(s.mountpoint("*"))
	for _, p := range points {
		if mounted, err := mountapi.IsMountPoint(p); err == nil && mounted {
			s.t.Errorf("%s is still mounted", p)
			_ = mountapi.Detach(p)
		}
	}
	_ = os.Remove(s.socket)
	if s.t.Failed() {
		s.t.Logf("server:\n%s", s.log())
	}
}
