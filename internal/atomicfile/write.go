// Package atomicfile replaces small files so that a reader, a crash or a power
// cut sees the old content or the new one, never a mixture (on-disk format, 3.6).
//
// Write does it for one file. A writer of several files that belong together
// prepares them all with Prepare, which may run out of space, and then commits
// one after the other, which hardly ever fails.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/internal/faults"
	"github.com/stratastore/strata/internal/reserve"
)

// TempPrefix begins the names of the files that are being written; after a crash
// they stay behind. The name goes on with the target's name and decimal digits.
const TempPrefix = ".tmp-"

// Options belong to Write and Prepare.
type Options struct {
	// Mode is the file's final permission bits, not subject to the umask; 0 is 0600.
	Mode fs.FileMode
	// NoSync leaves out flushing the file and its directory: for what need not
	// outlive a power cut.
	NoSync bool
	// Validate, if set, looks at the data before anything is written; its error
	// is Write's.
	Validate func([]byte) error
	// Spare is used when there is no room for the data; nil: there is none.
	Spare *reserve.Space
}

// Write replaces the file at path by data and returns its modification time.
// When it returns without an error the content and the name are durable, unless
// NoSync. After an error the old file is still there (only an error of the final
// directory sync leaves the new one, perhaps not durable), and no temporary file
// is left. Safe for concurrent use; the last writer wins.
func Write(path string, data []byte, opts Options) (mtime time.Time, err error) {
	p, err := Prepare(path, data, opts)
	if err != nil {
		return time.Time{}, err
	}
	defer p.Abort()
	if err := p.Commit(); err != nil {
		return time.Time{}, err
	}
	return p.Mtime(), nil
}

// Pending is a file that is written and flushed under its temporary name.
type Pending struct {
	path, temp string
	info       fs.FileInfo
	opts       Options
}

// Prepare writes data beside path under a temporary name, flushes it and sets its
// mode. The caller ends the result by Commit or Abort; a deferred Abort is always right.
func Prepare(path string, data []byte, opts Options) (*Pending, error) {
	if opts.Validate != nil {
		if err := opts.Validate(data); err != nil {
			return nil, fmt.Errorf("refuse to write %s: %w", path, err)
		}
	}
	p, err := prepare(path, data, opts, create)
	if reserve.Full(err) && opts.Spare != nil {
		if spare, spareErr := prepare(path, data, opts, opts.take); spareErr == nil {
			return spare, nil
		}
	}
	return p, err
}

func prepare(path string, data []byte, opts Options, open func(path string) (*os.File, error)) (*Pending, error) {
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	p := &Pending{path: path, temp: f.Name(), opts: opts}
	err = errors.Join(p.fill(f, data), f.Close())
	if err != nil {
		p.Abort()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return p, nil
}

// take gets a file with room from the reserve.
func (o Options) take(path string) (*os.File, error) {
	temp := TempPrefix + filepath.Base(path) + strconv.FormatUint(rand.Uint64(), 10)
	return o.Spare.Take(filepath.Join(filepath.Dir(path), temp))
}

func create(path string) (*os.File, error) {
	if err := faults.Hit("atomicfile.create", path); err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Dir(path), TempPrefix+filepath.Base(path)+"*")
}

func (p *Pending) fill(f *os.File, data []byte) error {
	if err := faults.Hit("atomicfile.write", p.path); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(data))); err != nil { // one from the reserve is longer
		return err
	}
	if err := p.flush(f); err != nil {
		return err
	}
	mode := p.opts.Mode
	if mode == 0 {
		mode = 0o600
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	var err error
	p.info, err = f.Stat()
	return err
}

func (p *Pending) flush(f *os.File) error {
	if p.opts.NoSync {
		return nil
	}
	if err := faults.Hit("atomicfile.sync", p.path); err != nil {
		return err
	}
	return retryEINTR(func() error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) })
}

// Info describes the written file: what a stat of the path gives after Commit.
func (p *Pending) Info() fs.FileInfo { return p.info }

// Mtime is the file's modification time.
func (p *Pending) Mtime() time.Time { return p.info.ModTime() }

// Commit puts the file in its place and syncs the directory, unless NoSync.
// Errors before the rename leave the old file; calling it again does nothing.
func (p *Pending) Commit() error {
	if p.temp == "" {
		return nil
	}
	if err := faults.Hit("atomicfile.rename", p.path); err != nil {
		return fmt.Errorf("replace %s: %w", p.path, err)
	}
	if err := os.Rename(p.temp, p.path); err != nil {
		return fmt.Errorf("replace %s: %w", p.path, err)
	}
	p.temp = ""
	if p.opts.NoSync {
		return nil
	}
	return SyncDir(filepath.Dir(p.path))
}

// Abort removes the temporary file; after Commit it does nothing. A file that can
// not be removed stays behind as after a crash.
func (p *Pending) Abort() {
	if p.temp != "" {
		_ = os.Remove(p.temp) // the cause of the abort is the error that counts
		p.temp = ""
	}
}
