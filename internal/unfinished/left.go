package unfinished

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/livefile"
)

// maxNote bounds what is read of one note.
const maxNote = 1 << 24

// Left is a note as others find it.
type Left struct {
	Change
	// Path is the file, to be removed by Forget.
	Path string
	// Alive: its writer lives.
	Alive bool
}

// Own returns the layers that the draft's writer made and nobody else took for his own.
func (l *Left) Own() []Made {
	return slices.DeleteFunc(slices.Clone(l.Made), func(m Made) bool { return slices.Contains(l.Kept, m.ID) })
}

// List returns the notes of a directory about one driver's records. A missing directory
// has none.
func List(dir, driver string) (out []Left, err error) {
	err = each(dir, func(l Left, f *os.File) (more bool, err error) {
		if err := l.read(f); err != nil {
			return false, err
		}
		if l.Driver == driver || l.Driver == "" {
			out = append(out, l)
		}
		return true, nil
	})
	return out, err
}

// Find returns one note.
func Find(path string) (l Left, err error) {
	_, err = open(path, func(one Left, f *os.File) (bool, error) {
		l = one
		return false, l.read(f)
	})
	if err != nil {
		err = fmt.Errorf("read unfinished change: %w", err)
	}
	return l, err
}

// Pending reports whether there are notes of the dead, other than drafts. It is List for
// who mostly finds none, and does not read those of the living.
func Pending(dir, driver string) (pending bool, err error) {
	err = each(dir, func(l Left, f *os.File) (more bool, err error) {
		if l.Alive {
			return true, nil
		}
		if err := l.read(f); err != nil {
			return false, err
		}
		pending = !l.Draft && (l.Driver == driver || l.Driver == "")
		return !pending, nil
	})
	return pending, err
}

// each calls look for every note, open for reading, of which only the path and whether its
// writer lives are known.
func each(dir string, look func(l Left, f *os.File) (more bool, err error)) error {
	paths, err := livefile.List(dir)
	if err != nil {
		return fmt.Errorf("list unfinished changes: %w", err)
	}
	for _, path := range paths {
		more, err := open(path, look)
		if errors.Is(err, fs.ErrNotExist) {
			continue // over by now
		}
		if err != nil {
			return fmt.Errorf("read unfinished change: %w", err)
		}
		if !more {
			break
		}
	}
	return nil
}

func open(path string, look func(Left, *os.File) (bool, error)) (more bool, err error) {
	f, alive, err := livefile.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close() // read only: nothing to lose
	return look(Left{Path: path, Alive: alive}, f)
}

// read reads what the note says. A line that is being written, or was when the writer
// died, may be cut: it was not acted upon. A file that has no name of its own yet says
// nothing.
func (l *Left) read(f *os.File) error {
	if livefile.IsNew(l.Path) {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		l.add(line)
	}
	return nil
}

func (l *Left) add(line []byte) {
	var c Change
	if json.Unmarshal(line, &c) != nil || c.Driver == "" {
		return
	}
	l.Driver, l.Draft = c.Driver, c.Draft
	l.Layers, l.Made = append(l.Layers, c.Layers...), append(l.Made, c.Made...)
	l.Uses, l.Kept = append(l.Uses, c.Uses...), append(l.Kept, c.Kept...)
	l.Items = append(l.Items, c.Items...)
	if c.Mount != nil {
		l.Mount = c.Mount
	}
}

// Keep takes layers out of the drafts that made them: from now on they are somebody's.
// Whoever is to have them looks whether they are there first, and again afterwards.
func Keep(dir, driver string, ids ...string) error {
	left, err := List(dir, driver)
	if err != nil {
		return err
	}
	for _, l := range left {
		made := func(id string) bool {
			return slices.ContainsFunc(l.Made, func(m Made) bool { return m.ID == id })
		}
		if slices.ContainsFunc(ids, made) {
			if err := Append(l, Change{Draft: l.Draft, Kept: ids}); err != nil {
				return fmt.Errorf("keep layers: %w", err)
			}
		}
	}
	return nil
}

// Append adds a line to somebody's note, which may be gone. The line before may be cut.
func Append(l Left, c Change) error {
	f, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // over by now
	}
	if err != nil {
		return err
	}
	c.Driver = l.Driver
	line, err := json.Marshal(c)
	if err == nil {
		_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	}
	return errors.Join(err, f.Close())
}

// Forget removes a note that was acted upon.
func Forget(l Left) error { return remove("unfinished.forget", l.Path) }
