package lease

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/stratastore/strata/internal/livefile"
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
	paths, err := livefile.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	all := map[string][]Owner{}
	for _, path := range paths {
		if livefile.IsNew(path) {
			continue
		}
		owner, ids, err := readFile(path)
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
	paths, err := livefile.List(dir)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	var errs []error
	for _, path := range paths {
		if err := sweepFile(path); err != nil {
			errs = append(errs, fmt.Errorf("sweep leases: %w", err))
		}
	}
	return errors.Join(errs...)
}

// sweepFile removes a file that nobody has locked. One that is being made loses
// its name before it has its final one, which its maker notices.
func sweepFile(path string) error {
	f, alive, err := livefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing to lose
	if alive {
		return nil
	}
	return removeFile(path)
}

// readFile returns what a live holder leases; a dead one leases nothing.
func readFile(path string) (Owner, []string, error) {
	owner := Owner{File: filepath.Base(path)}
	f, alive, err := livefile.Open(path)
	if err != nil {
		return owner, nil, err
	}
	defer f.Close() // read only: nothing to lose
	if !alive {
		return owner, nil, nil
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
