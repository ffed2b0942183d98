package e2e_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// listenNotify listens as systemd does on $NOTIFY_SOCKET; the returned function waits for
// the next message.
func listenNotify(t *testing.T, path string) (next func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return func() string {
		t.Helper()
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		b := make([]byte, 100)
		n, err := conn.Read(b)
		must(t, err)
		return string(b[:n])
	}
}

// activatedServer is a server that was given its socket.
type activatedServer struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
}

func activated(t *testing.T, r *roots, socket, notify string) *activatedServer {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	file, err := l.File()
	must(t, err)
	// The number of the process is not known before it runs: the shell becomes the server.
	s := &activatedServer{t: t, socket: socket, cmd: exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh",
		binary, "--graph", r.graph(), "--run", r.runRoot(), "-s", r.driver, "volume", "serve")}
	s.cmd.Env = append(r.env, "LISTEN_FDS=1", "NOTIFY_SOCKET="+notify)
	s.cmd.ExtraFiles = []*os.File{file}
	s.cmd.Stderr = os.Stderr
	must(t, s.cmd.Start())
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
		}
		_ = l.Close()
	})
	must(t, file.Close())
	return s
}

// post sends a request with an empty body and returns the answer's.
func (s *activatedServer) post(method string) string {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Post("http://plugin"+method, "application/json", nil)
	must(s.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(s.t, err)
	return string(body)
}

// end stops the server, which leaves the socket to systemd.
func (s *activatedServer) end() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	must(s.t, s.cmd.Wait())
	if _, err := os.Lstat(s.socket); err != nil {
		s.t.Errorf("the socket is gone: %v", err)
	}
}
