package strata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stratastore/strata/internal/filecopy"
	"github.com/stratastore/strata/internal/unfinished"
	"github.com/stratastore/strata/layer"
)

// BorrowOptions belong to Borrow and BorrowImage.
type BorrowOptions struct {
	MountOptions
	// Into: files are copied into the tree as `strata copy` does it. What a killed process
	// was making there is collected as garbage.
	Into bool
}

// Borrowed is a tree that is mounted until Release, or until its process has ended. It may
// be used by several goroutines.
type Borrowed struct {
	// Path is where the tree is, absolute.
	Path string

	store *Store
	note  *unfinished.Note
	mount unfinished.Mount
}

// Borrow is Mount for the time of a call: a note says so, by which the next process that
// opens the store takes the mount back if this one dies. Errors are those of Mount. The
// caller calls Release.
func (s *Store) Borrow(ctx context.Context, nameOrID string, opts BorrowOptions) (*Borrowed, error) {
	id, o, err := s.mountable(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	return s.borrow(ctx, id, opts, func(lo layer.MountOptions) (string, error) {
		path, err := s.layers.Mount(ctx, id, lo)
		return path, mountError(nameOrID, err)
	}, o)
}

// BorrowImage is Borrow for an image's top layer, read-only. Errors are those of MountImage.
func (s *Store) BorrowImage(ctx context.Context, nameOrID string, opts BorrowOptions) (*Borrowed, error) {
	top, err := s.topLayer(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	opts.ReadOnly, opts.Into = true, false
	return s.borrow(ctx, top, opts, func(lo layer.MountOptions) (string, error) { return s.layers.Mount(ctx, top, lo) }, recorded{})
}

func (s *Store) borrow(ctx context.Context, id layer.ID, opts BorrowOptions, mount func(layer.MountOptions) (string, error), o recorded) (*Borrowed, error) {
	b := &Borrowed{store: s, mount: unfinished.Mount{Layer: string(id), Boot: bootID(), Into: opts.Into}}
	if opts.Into {
		b.mount.Writer = filecopy.Writer()
	}
	var err error
	b.note, err = unfinished.Begin(s.roots.borrowDir(), unfinished.Change{Driver: s.driver.name, Mount: &b.mount})
	if noRoom(err) {
		b.note, err = &unfinished.Note{}, nil // copying out of a full store is what makes room
	}
	if err != nil {
		return nil, err
	}
	lo := o.with(opts.MountOptions)
	lo.Borrower = b.name()
	if b.Path, err = mount(lo); err == nil {
		err = b.step(unfinished.Mounted)
	}
	if err != nil {
		return nil, errors.Join(err, s.giveUp(ctx, b.note))
	}
	return b, nil
}

// giveUp ends the note after a mount or unmount that failed: what is left of the mount is
// taken back as after a kill. What fails again is left to the next process.
func (s *Store) giveUp(ctx context.Context, note *unfinished.Note) error {
	if err := note.Close(); err != nil {
		return err
	}
	if note.Path() == "" {
		return nil
	}
	left, err := unfinished.Find(note.Path())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.takeBack(context.WithoutCancel(ctx), left)
	}
	if err != nil {
		return err
	}
	return unfinished.Forget(left) // the copy itself has removed what it was making
}

// name is the borrower's in the mount counts: that of the note; "" without one.
func (b *Borrowed) name() string {
	if b.note.Path() == "" {
		return ""
	}
	return filepath.Base(b.note.Path())
}

// step notes a step. A note that has no room for it goes on saying the one before, which is
// no harm after mounting: the counts tell, too.
func (b *Borrowed) step(step unfinished.Step) error {
	if b.note.Path() == "" {
		return nil
	}
	m := b.mount
	m.Step = step
	err := b.note.Add(unfinished.Change{Mount: &m})
	switch {
	case err != nil && step == unfinished.Unmounting:
		return b.note.Done() // the count must not be taken twice
	case noRoom(err):
		return nil
	}
	return err
}

// Release unmounts the tree, or takes one off its count. What fails it tries once more, and
// leaves it then to the next process that opens the store.
func (b *Borrowed) Release(ctx context.Context) error {
	err := b.step(unfinished.Unmounting)
	if err == nil {
		_, err = b.store.layers.Unmount(ctx, layer.ID(b.mount.Layer), layer.UnmountOptions{Borrower: b.name()})
	}
	if err == nil {
		err = b.note.Done()
	}
	if err != nil {
		return errors.Join(err, b.store.giveUp(ctx, b.note))
	}
	return nil
}

// takeAllBack takes back what processes borrowed that died.
func (s *Store) takeAllBack(ctx context.Context) error {
	list, err := unfinished.List(s.roots.borrowDir(), s.driver.name)
	for _, l := range list {
		if !l.Alive && !l.Draft {
			err = errors.Join(err, s.takeBack(ctx, l))
		}
	}
	return err
}

// errOver: somebody was faster.
var errOver = errors.New("the note was acted upon")

// takeBack undoes one dead process's mount. Its note goes, or stays for the collection of
// garbage, which looks for what the process was copying.
func (s *Store) takeBack(ctx context.Context, l unfinished.Left) error {
	if l.Mount == nil {
		return unfinished.Forget(l)
	}
	if l.Mount.Boot == bootID() {
		err := s.layers.TakeBack(ctx, layer.ID(l.Mount.Layer), filepath.Base(l.Path), func() (bool, error) { return claim(l.Path) })
		if errors.Is(err, errOver) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("undo the mount of a process that ended: %w", err)
		}
		s.log.InfoContext(ctx, "undid the mount of a process that ended", "layer", l.Mount.Layer)
	}
	if !l.Mount.Into {
		return unfinished.Forget(l)
	}
	return unfinished.Append(l, unfinished.Change{Draft: true})
}

// claim tells whether a dead process's mount had been counted, and notes that it is being taken
// back: that happens once, whoever dies meanwhile.
func claim(path string) (bool, error) {
	now, err := unfinished.Find(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && (now.Draft || now.Mount == nil) {
		return false, errOver
	}
	if err != nil || now.Mount.Step != unfinished.Mounted {
		return false, err
	}
	m := *now.Mount
	m.Step = unfinished.Unmounting
	return true, unfinished.Append(now, unfinished.Change{Mount: &m})
}

// bootID names this boot (proc_sys_kernel(5)); "" where nothing does.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// borrowDir is strata's own place for notes about mounts that last as long as a call.
func (r roots) borrowDir() string { return filepath.Join(r.graph, "strata", "mounts") }
