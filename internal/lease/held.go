package lease

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Owner is a live holder.
type Owner struct {
	// PID is of its process, in that process' own PID namespace; 0 is not known.
	PID int
	// File is Holder.File.
	File string
}

// Held returns the IDs that live holders lease, with all who do. Holders of this
// process are among them. A missing directory has none. It changes nothing, and
// reads one file after another: keep the records locked to see one state.
func Held(dir string) (map[string][]Owner, error) {
	entries, err := list(dir)
	if err != nil {
		return nil, err
	}
	all := map[string][]Owner{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) {
			continue
		}
		owner, ids, err := readFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read leases: %w", err)
		}
		for _, id := range ids {
			all[id] = append(all[id], owner)
		}
	}
	return all, nil
}

// Sweep removes the files of dead holders. A missing directory has none.
func Sweep(dir string) error {
	entries, err := list(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if err := sweepFile(filepath.Join(dir, e.Name())); err != nil {
			errs = append(errs, fmt.Errorf("sweep leases: %w", err))
		}
	}
	return errors.Join(errs...)
}

// list returns what can be lease files.
func list(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	var files []fs.DirEntry
	for _, e := range entries {
		if e.Type().IsRegular() {
			files = append(files, e)
		}
	}
	return files, nil
}

// sweepFile removes a file that nobody has locked. One that is being made loses
// its name before it has its final one, which its maker notices.
func sweepFile(path string) error {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if alive, err := isLocked(f); err != nil || alive {
		return err
	}
	return removeFile(path)
}

// readFile returns what a live holder leases; a dead one leases nothing.
func readFile(path string) (Owner, []string, error) {
	owner := Owner{File: filepath.Base(path)}
	f, err := open(path)
	if err != nil {
		return owner, nil, err
	}
	defer f.Close()
	if alive, err := isLocked(f); err != nil || !alive {
		return owner, nil, err
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return owner, nil, err
	}
	return owner, parse(data, &owner), nil
}

// parse reads whole lines; the last one of a holder that is just writing it may not be.
func parse(data []byte, owner *Owner) (ids []string) {
	data = data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(data) { // of any length: one that is skipped would be a lease that is lost
		text := strings.TrimSuffix(string(line), "\n")
		if pid, ok := strings.CutPrefix(text, "pid "); ok {
			owner.PID, _ = strconv.Atoi(pid)
		}
		if id, ok := strings.CutPrefix(text, string(held)); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// isLocked asks without locking, so that two who ask do not see each other.
func isLocked(f *os.File) (bool, error) {
	fl := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, fl); err != nil {
		return false, fmt.Errorf("look at lock of %s: %w", f.Name(), err)
	}
	return fl.Type != unix.F_UNLCK, nil
}

func wholeFile() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}
