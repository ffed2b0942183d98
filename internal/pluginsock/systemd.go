package pluginsock

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// Inherited takes over a socket that systemd passed: the descriptor fd, 3 for the first.
func Inherited(fd uintptr) (net.Listener, error) {
	unix.CloseOnExec(int(fd))
	f := os.NewFile(fd, "socket from systemd")
	if f == nil {
		return nil, fmt.Errorf("inherited socket %d: %w", fd, errdefs.ErrInvalid)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("inherited socket %d: %w", fd, err)
	}
	return l, nil
}

// Notify tells systemd a state, "READY=1" or "STOPPING=1", on the socket that it gave in
// $NOTIFY_SOCKET; an empty socket is success (sd_notify(3)).
func Notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
