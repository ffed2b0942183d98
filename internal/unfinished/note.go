// Package unfinished notes what has to be undone, or finished, when a process dies
// between two saves that belong together.
//
// The records of layers, images and containers are saved one kind after the other. A
// process that is killed in between leaves a layer that nothing refers to, or a
// data item whose record speaks of the old one. Before such a change it writes a note,
// and removes it afterwards. A note is locked for as long as its writer lives (an
// open-file-description lock, which ends with the process): whoever finds one without
// a lock does what it says.
//
// Notes about layers are not flushed to disk: what a power cut can lose is only the
// note, and then a layer too many stays. Those about data items are.
package unfinished

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/objectid"
)

// newPrefix marks a note that is not locked yet.
const newPrefix = "."

// Item is a data item whose file is replaced before its record is saved.
type Item struct {
	// Kind and ID are of the object, Key is the item's.
	Kind, ID, Key string
	// Digest and Size are of the new file, Recorded is what its record is to say.
	Digest, Recorded string
	Size             int64
}

// Change is what a note says.
type Change struct {
	// Driver is whose records are changed.
	Driver string `json:"driver"`
	// Draft is for changes over several transactions: others may have come to need the
	// layers since, so they are left to the collection of garbage.
	Draft bool `json:"draft,omitempty"`
	// Layers go unless something refers to them.
	Layers []string `json:"layers,omitempty"`
	// Uses are layers that were there before and have to stay while the writer lives.
	Uses []string `json:"uses,omitempty"`
	// Items are to be recorded as they are.
	Items []Item `json:"items,omitempty"`
	// Sync flushes the note: a data item whose record is about the old one is damage,
	// unlike a layer too many.
	Sync bool `json:"-"`
}

// Note is a change under way. Its methods are safe for concurrent use.
type Note struct {
	mu   sync.Mutex
	path string
	file *os.File // nil when it is over
}

// Begin writes a note into dir, which is made (0700, with parents) when it is missing.
// The caller ends it by Done or Close.
func Begin(dir string, c Change) (*Note, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("note a change: %w", err)
	}
	for range 100 {
		n, err := create(dir, c)
		if errors.Is(err, fs.ErrNotExist) {
			continue // swept between its creation and its lock
		}
		if err != nil {
			return nil, fmt.Errorf("note a change in %s: %w", dir, err)
		}
		return n, nil
	}
	return nil, fmt.Errorf("note a change in %s: swept away again and again", dir)
}

// create gives the file its name when it is locked and written: whoever finds one
// unlocked may act on it.
func create(dir string, c Change) (_ *Note, err error) {
	if err := faults.Hit("unfinished.create", dir); err != nil {
		return nil, err
	}
	name := objectid.New()
	fresh := filepath.Join(dir, newPrefix+name)
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(fresh)), f.Close())
		}
	}()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile()); err != nil {
		return nil, fmt.Errorf("lock %s: %w", fresh, err)
	}
	n := &Note{path: filepath.Join(dir, name), file: f}
	if err := n.write(c); err != nil {
		return nil, err
	}
	return n, n.publish(fresh, c.Sync)
}

// publish gives the note its name.
func (n *Note) publish(fresh string, sync bool) error {
	if err := faults.Hit("unfinished.publish", n.path); err != nil {
		return err
	}
	if !sync {
		return os.Rename(fresh, n.path)
	}
	if err := n.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(fresh, n.path); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(n.path))
}

func (n *Note) write(c Change) error {
	if err := faults.Hit("unfinished.write", n.path); err != nil {
		return err
	}
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = n.file.Write(append(line, '\n'))
	return err
}

// Add adds to what the note says; the rest of c has to be as at the beginning.
func (n *Note) Add(c Change) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return fmt.Errorf("note a change: %w", fs.ErrClosed)
	}
	if err := n.write(c); err != nil {
		return fmt.Errorf("note a change: %w", err)
	}
	return nil
}

// Done removes the note: there is nothing left to do. A second call does nothing.
func (n *Note) Done() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := errors.Join(remove("unfinished.done", n.path), n.file.Close())
	n.file = nil
	return err
}

// Close leaves the note for others to act on, as the death of the process does. After
// Done it does nothing.
func (n *Note) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := n.file.Close()
	n.file = nil
	return err
}

// Left is a note as others find it.
type Left struct {
	Change
	// Path is the file, to be removed by Forget.
	Path string
	// Alive: its writer lives.
	Alive bool
}

// List returns the notes of a directory about one driver's records. A missing directory
// has none.
func List(dir, driver string) ([]Left, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list unfinished changes: %w", err)
	}
	var out []Left
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		l, err := read(filepath.Join(dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // over by now
		}
		if err != nil {
			return nil, fmt.Errorf("read unfinished change: %w", err)
		}
		if l.Driver == driver || l.Driver == "" {
			out = append(out, l)
		}
	}
	return out, nil
}

// read reads a note. The last line of one that is being written may be cut, and a file
// that has no name of its own yet says nothing.
func read(path string) (Left, error) {
	l := Left{Path: path}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return l, err
	}
	defer f.Close() // read only: nothing to lose
	fl := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, fl); err != nil {
		return l, fmt.Errorf("look at lock of %s: %w", path, err)
	}
	l.Alive = fl.Type != unix.F_UNLCK
	if strings.HasPrefix(filepath.Base(path), newPrefix) {
		return l, nil
	}
	lines := json.NewDecoder(io.LimitReader(f, 1<<24))
	for {
		var c Change
		if err := lines.Decode(&c); err != nil {
			return l, nil // the end, or a cut line, which was not acted upon
		}
		l.Driver, l.Draft = c.Driver, c.Draft
		l.Layers, l.Uses, l.Items = append(l.Layers, c.Layers...), append(l.Uses, c.Uses...), append(l.Items, c.Items...)
	}
}

// Forget removes a note that was acted upon.
func Forget(l Left) error { return remove("unfinished.forget", l.Path) }

// remove deletes a note that may be gone.
func remove(point, path string) error {
	if err := faults.Hit(point, path); err != nil {
		return err
	}
	return ignoreMissing(os.Remove(path))
}

func wholeFile() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
