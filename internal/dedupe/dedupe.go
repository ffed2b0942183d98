// Package dedupe lets equal files in several directory trees share their data on the
// disk, on file systems that can (ioctl_fideduperange(2): xfs with reflinks, btrfs).
//
// Files are only ever proposed to the kernel, which locks both, compares them byte by
// byte and shares what is equal. Nothing here writes to a file: content, times, owners
// and attributes stay as they are, whatever else happens to the files meanwhile.
package dedupe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/rootfd"
)

// ErrUnsupported means that the file system can not share data between files.
var ErrUnsupported = errdefs.New(errdefs.ErrUnsupported, "the file system can not share data between files")

// Method is how files that may be equal are found. The result is the same with each:
// the kernel has the last word.
type Method int

// The methods.
const (
	// CRC reads files of the same size and compares check sums; the default.
	CRC Method = iota
	// SHA256 compares digests.
	SHA256
	// Size reads only the first block, and leaves the rest to the kernel.
	Size
)

// Options belong to Trees.
type Options struct {
	Method Method
	// Workers read side by side; 0 means as many as there are processors.
	Workers int
	// Progress, when not nil, is told about every file that may be equal to another one, when
	// it was looked at. It is called by one goroutine at a time.
	Progress func(Progress)
}

// Progress is how far Trees has come.
type Progress struct {
	// Bytes of Total were looked at: those of files that have the size of another one.
	Bytes, Total int64
}

// Result is what Trees found and did.
type Result struct {
	// Files were looked at; empty ones and further names of the same file do not count.
	Files int
	// Shared are files whose data another one has, too, and which share it now; Bytes
	// are theirs, New those that were not shared before.
	Shared int
	Bytes  int64
	New    int64
}

// Trees goes through the directories, each of which stays on its own file system, and
// makes equal files share their data. Links are not followed. What vanishes or changes
// meanwhile, or may not be read, is left out. A cancelled call leaves some files
// shared, which harms nothing. ErrUnsupported as soon as two equal files can not be
// shared; without equal files nobody knows.
func Trees(ctx context.Context, dirs []string, opts Options) (Result, error) {
	f := &finder{sizes: map[fileSize][]file{}, seen: map[fileID]bool{}}
	defer f.close()
	for _, dir := range dirs {
		if err := f.add(ctx, dir); err != nil {
			return Result{}, fmt.Errorf("read %s: %w", dir, err)
		}
	}
	d := &deduper{method: opts.Method, result: Result{Files: len(f.seen)}, progress: opts.Progress}
	for size, same := range f.sizes {
		if len(same) > 1 {
			d.state.Total += size.size * int64(len(same))
		}
	}
	group, inner := errgroup.WithContext(ctx)
	if group.SetLimit(opts.Workers); opts.Workers <= 0 {
		group.SetLimit(runtime.GOMAXPROCS(0))
	}
	for _, same := range f.sizes {
		if len(same) < 2 || inner.Err() != nil {
			continue
		}
		group.Go(func() error { return d.sameSize(inner, same) })
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return d.result, err
}

// fileSize is what files must have in common to be equal and to share data.
type fileSize struct {
	dev  uint64
	size int64
}

// fileID is a file, whatever its names.
type fileID struct{ dev, ino uint64 }

// file is one name of a file.
type file struct {
	dir  string // the tree
	root *rootfd.Root
	name string
	id   fileID
	size int64
}

// deduper shares the data of equal files.
type deduper struct {
	method Method

	mu       sync.Mutex // guards what follows
	result   Result
	state    Progress
	progress func(Progress)
}

// looked counts a file that was looked at.
func (d *deduper) looked(f file) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Bytes += f.size
	if d.progress != nil {
		d.progress(d.state)
	}
}

func (d *deduper) count(bytes, fresh int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Shared++
	d.result.Bytes += bytes
	d.result.New += fresh
}

// class is a set of files that may be equal.
type class struct {
	// kinds are files of which no two are equal; others share with one of them.
	kinds []file
}

// sameSize goes through files of one size. Those that lie at the same place of the
// disk are equal without being read.
func (d *deduper) sameSize(ctx context.Context, files []file) error {
	places := map[string]bool{}
	classes := map[string]*class{}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.one(f, places, classes); err != nil {
			return err
		}
		d.looked(f)
	}
	return nil
}

// one goes on with the next file of a size.
func (d *deduper) one(f file, places map[string]bool, classes map[string]*class) error {
	place, sum, err := d.look(f, places)
	switch {
	case err != nil:
		return nil //nolint:nilerr // gone, changed, or not to be read: no candidate
	case place != "" && places[place]:
		d.count(f.size, 0)
		return nil
	case place != "":
		places[place] = true
	}
	if classes[sum] == nil {
		classes[sum] = &class{}
	}
	return d.join(classes[sum], f)
}

// look finds out where a file lies and, unless that place is known, its check sum.
func (d *deduper) look(f file, places map[string]bool) (place, sum string, err error) {
	open, err := f.open()
	if err != nil {
		return "", "", err
	}
	defer open.Close() // read only: nothing to lose
	if place = placeOf(open); places[place] && place != "" {
		return place, "", nil
	}
	sum, err = d.method.sum(open)
	return place, sum, err
}

// join makes a file share with the first of the class that it is equal to, or
// adds it as one more kind.
func (d *deduper) join(c *class, f file) error {
	for _, kind := range c.kinds {
		n, err := int64(0), faults.Hit("dedupe.share", f.dir)
		if err == nil {
			n, err = share(kind, f)
		}
		if errors.Is(err, ErrUnsupported) {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err != nil {
			continue
		}
		if n == f.size {
			d.count(n, n)
			return nil
		}
	}
	c.kinds = append(c.kinds, f)
	return nil
}
