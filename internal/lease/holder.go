package lease

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/livefile"
)

const (
	held    = '+'
	dropped = '-'
)

// ErrNotHeld says that a lease was given back more often than it was taken.
var ErrNotHeld = errdefs.New(errdefs.ErrInvalid, "lease is not held")

// Holder is one user of the directory: its leases are alive while it is open.
// Leases are counted per ID. All methods are safe for concurrent use.
type Holder struct {
	mu    sync.Mutex
	path  string
	file  *os.File // nil after Close
	end   int64    // where the next line goes
	lines map[string]*line
}

// line is an ID's place in the file.
type line struct {
	offset int64
	count  int
}

// Open makes a holder in dir, and dir itself (0700, with parents) if it is missing.
// What dead holders left there is swept. The caller closes it.
func Open(dir string) (*Holder, error) {
	if err := Sweep(dir); err != nil {
		return nil, err
	}
	head := fmt.Sprintf("pid %d\n", os.Getpid())
	f, err := livefile.Create(dir, livefile.Options{Point: "lease"}, func(f *livefile.File) error {
		_, err := f.WriteString(head)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open lease file: %w", err)
	}
	return &Holder{path: f.Path, file: f.File, end: int64(len(head)), lines: map[string]*line{}}, nil
}

// Add leases each ID once more; those after a failure are not. An ID with a line
// break or an empty one is an errdefs.ErrInvalid.
func (h *Holder) Add(ctx context.Context, ids ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, id := range ids {
		err := ctx.Err()
		if err == nil {
			err = h.add(id)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("lease %s: %w", id, err), h.drop(ids[:i]))
		}
	}
	return nil
}

func (h *Holder) add(id string) error {
	if h.file == nil {
		return fs.ErrClosed
	}
	if id == "" || strings.ContainsAny(id, "\n\x00") {
		return errdefs.ErrInvalid
	}
	l := h.lines[id]
	if l != nil && l.count > 0 {
		l.count++
		return nil
	}
	if err := faults.Hit("lease.add", h.path); err != nil {
		return err
	}
	if l != nil {
		if err := h.mark(l, held); err != nil {
			return err
		}
		l.count = 1
		return nil
	}
	text := string(held) + id + "\n"
	if _, err := h.file.WriteAt([]byte(text), h.end); err != nil {
		return err // the next line overwrites what was written of this one
	}
	h.lines[id] = &line{offset: h.end, count: 1}
	h.end += int64(len(text))
	return nil
}

// mark changes a line in place.
func (h *Holder) mark(l *line, sign byte) error {
	if err := faults.Hit("lease.mark", h.path); err != nil {
		return err
	}
	_, err := h.file.WriteAt([]byte{sign}, l.offset)
	return err
}

// Drop gives each lease back once, and goes on after a failure. ErrNotHeld for what
// is not leased. When the file can not be written, the ID counts as leased, for
// others, until Close.
func (h *Holder) Drop(ids ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.drop(ids)
}

func (h *Holder) drop(ids []string) error {
	var errs []error
	for _, id := range ids {
		if err := h.dropOne(id); err != nil {
			errs = append(errs, fmt.Errorf("give back lease of %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (h *Holder) dropOne(id string) error {
	if h.file == nil {
		return nil // all are given back
	}
	l := h.lines[id]
	if l == nil || l.count == 0 {
		return ErrNotHeld
	}
	l.count--
	if l.count > 0 {
		return nil
	}
	return h.mark(l, dropped)
}

// DropUnlessLast gives the lease back if this holder has it more than once, and
// reports whether it did.
func (h *Holder) DropUnlessLast(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lines[id]
	if l == nil || l.count < 2 {
		return false
	}
	l.count--
	return true
}

// Count returns how often this holder has leased id.
func (h *Holder) Count(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.lines[id]; l != nil {
		return l.count
	}
	return 0
}

// File is the name of the holder's file, by which Held tells it from others.
func (h *Holder) File() string { return filepath.Base(h.path) }

// Close gives everything back and removes the file. A second call does nothing.
func (h *Holder) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	// Unlinked before it is unlocked: nobody finds a dead file in between.
	err := errors.Join(removeFile(h.path), h.file.Close())
	h.file, h.lines = nil, nil
	return err
}

func removeFile(path string) error {
	if err := faults.Hit("lease.remove", path); err != nil {
		return err
	}
	return livefile.Remove(path)
}
