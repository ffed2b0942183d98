package plugin

import (
	"context"
	"net"

	"github.com/stratastore/strata/internal/pluginsock"
)

// ErrServed says that a process answers on the socket already.
var ErrServed = pluginsock.ErrServed

// Listen makes a plugin's socket at path, mode 0660, and the folder above it (0755) if it is
// missing. A socket that nobody answers on is replaced, one that is served is ErrServed,
// anything else at path is left alone and an error. Closing the listener removes the
// socket, unless it has been replaced meanwhile.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	return pluginsock.Listen(ctx, path, 0o660)
}

// Inherited takes over a socket that systemd passed: the descriptor fd, 3 for the first.
func Inherited(fd uintptr) (net.Listener, error) { return pluginsock.Inherited(fd) }

// Notify tells systemd a state, "READY=1" or "STOPPING=1", on the socket that it gave in
// $NOTIFY_SOCKET; an empty socket is success (sd_notify(3)).
func Notify(socket, state string) error { return pluginsock.Notify(socket, state) }
