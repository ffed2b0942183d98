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
// Changes over several transactions are drafts: the layers of an image that is still
// being loaded or built. Their layers may serve others by the time the writer is found
// dead, so the collection of garbage decides about them, and nobody before it.
//
// A mount that lasts as long as a call has a note, too, which its writer's death makes others
// undo. Their directory is one of its own.
//
// Notes about layers are not flushed to disk: what a power cut can lose is only the
// note, and then a layer too many stays. Those about data items are. A note that a power
// cut brings back names layers that an image has by then, or that are gone.
package unfinished

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/livefile"
)

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
	// layers since, so they are left to the collection of garbage. What the last line
	// says counts.
	Draft bool `json:"draft,omitempty"`
	// Layers go unless something refers to them.
	Layers []string `json:"layers,omitempty"`
	// Made are a draft's layers, which go unless something refers to them.
	Made []Made `json:"made,omitempty"`
	// Uses are layers that were there before and have to stay while the writer lives.
	Uses []string `json:"uses,omitempty"`
	// Kept are made layers that somebody else has taken for his own since.
	Kept []string `json:"kept,omitempty"`
	// Items are to be recorded as they are.
	Items []Item `json:"items,omitempty"`
	// Mount is how far a mount has come that lasts as long as a call. The last one counts.
	Mount *Mount `json:"mount,omitempty"`
	// Sync flushes the note: a data item whose record is about the old one is damage,
	// unlike a layer too many.
	Sync bool `json:"-"`
}

// Made is a layer as its maker knows it. One of the same ID and another time is
// somebody else's.
type Made struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}

// Mount is a layer's mount that its writer undoes.
type Mount struct {
	// Layer is its ID, Boot names the boot in which it is mounted.
	Layer string `json:"layer"`
	Boot  string `json:"boot,omitempty"`
	// Step is how far the writer has come.
	Step Step `json:"step,omitempty"`
	// Into: files are copied into the layer, under names at first that name Writer.
	Into   bool   `json:"into,omitempty"`
	Writer string `json:"writer,omitempty"`
}

// Step is how far a mount has come. Without one it may be mounted, and counted or not.
type Step string

// The steps, in their order: the mount is counted; it is so or not any more.
const (
	Mounted    Step = "mounted"
	Unmounting Step = "unmounting"
)

// Note is a change under way. Its methods are safe for concurrent use.
type Note struct {
	mu   sync.Mutex
	path string
	// what its lines have in common
	driver string
	draft  bool

	file *os.File // nil when it is over
	torn error    // a line may be cut: nothing can be added any more
}

// Begin writes a note into dir, which is made (0700, with parents) when it is missing.
// The caller ends it by Done or Close.
func Begin(dir string, c Change) (*Note, error) {
	n := &Note{driver: c.Driver, draft: c.Draft}
	opts := livefile.Options{Point: "unfinished", Append: true, Sync: c.Sync}
	_, err := livefile.Create(dir, opts, func(f *livefile.File) error {
		n.path, n.file = f.Path, f.File
		return n.write(c)
	})
	if err != nil {
		return nil, fmt.Errorf("note a change: %w", err)
	}
	return n, nil
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

// Path is the note's file; "" for one that was never begun.
func (n *Note) Path() string { return n.path }

// Add adds to what the note says. After an error nothing can be added any more.
func (n *Note) Add(c Change) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return fmt.Errorf("note a change: %w", fs.ErrClosed)
	}
	if n.torn == nil {
		c.Driver, c.Draft = n.driver, n.draft
		n.torn = n.write(c)
	}
	if n.torn != nil {
		return fmt.Errorf("note a change: %w", n.torn)
	}
	return nil
}

// Done removes the note: there is nothing left to do. A second call does nothing. A
// draft that can not be removed becomes a note about nothing, which the next process
// that comes along removes.
func (n *Note) Done() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := remove("unfinished.done", n.path)
	if err != nil && n.draft {
		err = errors.Join(err, n.write(Change{Driver: n.driver}))
	}
	err = errors.Join(err, n.file.Close())
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

// remove deletes a note that may be gone.
func remove(point, path string) error {
	if err := faults.Hit(point, path); err != nil {
		return err
	}
	return livefile.Remove(path)
}
