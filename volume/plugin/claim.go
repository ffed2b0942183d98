package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
)

// claimFile stands in a state folder. Who serves the folder holds a flock(2) on it, which
// dies with the process; its content says who that is. Its name is no volume's.
const claimFile = ".server"

// Claim is the right to be the one server of a state folder.
type Claim struct{ file *os.File }

// ServedError says that another process serves a state folder.
type ServedError struct {
	// Dir is the state folder.
	Dir string
	// PID is the server, 0 if it can not be told; Socket is where it listens.
	PID    int
	Socket string
}

func (e *ServedError) Error() string {
	by := "another process"
	if e.PID > 0 {
		by = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the volumes in %s are served by %s on %s already", e.Dir, by, e.Socket)
}

// Unwrap returns errdefs.ErrLocked.
func (e *ServedError) Unwrap() error { return errdefs.ErrLocked }

// Hint is the next step.
func (e *ServedError) Hint() string { return "use that socket, or end the process first" }

// TakeClaim makes this process the server of the state folder dir, which must exist. A
// folder that is served is a *ServedError. The claim ends with Close or the process.
func TakeClaim(dir, socket string) (*Claim, error) {
	f, err := os.OpenFile(filepath.Join(dir, claimFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("serve volumes: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(servedBy(dir), f.Close())
	}
	if err == nil {
		err = writeClaim(f, socket)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serve volumes in %s: %w", dir, err), f.Close())
	}
	return &Claim{f}, nil
}

// claim is the content of the file.
type claim struct {
	PID    int
	Socket string
}

func writeClaim(f *os.File, socket string) error {
	text, err := json.Marshal(claim{PID: os.Getpid(), Socket: socket})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return err
}

// servedBy reads who has the claim; who is about to write it is not named.
func servedBy(dir string) *ServedError {
	e := &ServedError{Dir: dir, Socket: "a socket"}
	var c claim
	if text, err := os.ReadFile(filepath.Join(dir, claimFile)); err == nil && json.Unmarshal(text, &c) == nil {
		e.PID, e.Socket = c.PID, c.Socket
	}
	return e
}

// Served reports who serves a state folder; nil if nobody does.
func Served(dir string) *ServedError {
	f, err := os.Open(filepath.Join(dir, claimFile))
	if err != nil {
		return nil
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	return servedBy(dir)
}

// Close gives the claim back.
func (c *Claim) Close() error { return c.file.Close() }
