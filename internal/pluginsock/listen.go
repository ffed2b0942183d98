package pluginsock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// maxSocketPath is the longest path of a Unix socket, in bytes (unix(7)).
const maxSocketPath = 107

// ErrServed says that a process answers on the socket already.
var ErrServed = errdefs.New(errdefs.ErrInUse, "another process serves this socket")

// Listen makes a plugin's socket at path, with the mode given (0660, 0600), and the folder
// above it (0755) if it is missing. A socket that nobody answers on is replaced, one that is served is ErrServed,
// anything else at path is left alone and an error. Closing the listener removes the
// socket, unless it has been replaced meanwhile.
func Listen(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	l, err := listen(ctx, path, mode)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	dir := filepath.Dir(path)
	// The socket is made under another name in the same folder, which must fit as well.
	temp := filepath.Join(dir, "."+strings.ToLower(rand.Text()[:8]))
	if max(len(path), len(temp)) > maxSocketPath {
		return nil, fmt.Errorf("a socket's path has at most %d bytes: %w", maxSocketPath, errdefs.ErrInvalid)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// Two that start at once look at the old socket one after the other.
	lock, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, err
	}
	if err := free(ctx, path); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", temp)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	info, err := os.Lstat(temp)
	if err == nil {
		err = errors.Join(os.Chmod(temp, mode), os.Chown(temp, os.Geteuid(), os.Getegid()))
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close(), os.Remove(temp))
	}
	return &listener{Listener: l, path: path, info: info}, nil
}

// free makes sure that nobody serves what is at path.
func free(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("something that is no socket is in the way: %w", errdefs.ErrExists)
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrServed
	case errors.Is(err, unix.ECONNREFUSED):
		return nil // left by a process that was killed
	}
	return fmt.Errorf("%w (%w)", ErrServed, err) // too busy to answer is not dead
}

type listener struct {
	net.Listener
	path string
	info os.FileInfo
	once sync.Once
}

// Addr is where clients find the socket, which was made under another name.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close stops listening and removes the socket if it is still this one.
func (l *listener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			_ = os.Remove(l.path) // a stale socket is replaced by the next start
		}
	})
	return l.Listener.Close()
}
