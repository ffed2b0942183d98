package recordfile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/lockfile"
)

// maxFile caps what is read into memory, in bytes: a million records.
const maxFile = 1 << 30

// fileID tells versions of a file apart. The zero value is no file. Replacing a
// file changes the inode, writing into it the time or size; the time alone would
// miss two changes within one tick of the clock.
type fileID struct {
	dev, ino    uint64
	size, mtime int64 // bytes; nanoseconds
}

func idOf(info fs.FileInfo) fileID {
	id := fileID{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino = st.Dev, st.Ino
	}
	return id
}

// current returns the records as they are on disk. The locks are held.
func (s *Store[R]) current(ctx context.Context, held []*lockfile.Held) (*snapshot, error) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	token, err := firstToken(held)
	if err != nil {
		return nil, err
	}
	if st := s.cache.state; st != nil && st.token == token && s.unchanged(st.ids) {
		return st.snapshot, nil
	}
	st, err := s.load(ctx, token)
	if err != nil {
		return nil, err
	}
	s.cache.state = st
	return st.snapshot, nil
}

func firstToken(held []*lockfile.Held) (lockfile.Token, error) {
	if len(held) == 0 {
		return lockfile.Token{}, nil
	}
	return held[0].Token()
}

// unchanged reports whether the files are still those that were read: not all
// who change them write the token, and not all write it in time (on-disk format,
// 3.5, 9.13).
func (s *Store[R]) unchanged(ids []fileID) bool {
	for i, f := range s.files {
		var now fileID
		info, err := os.Lstat(f.Path)
		if err == nil {
			now = idOf(info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) || now != ids[i] {
			return false
		}
	}
	return true
}

// load reads all files. The token was read before.
func (s *Store[R]) load(ctx context.Context, token lockfile.Token) (*state, error) {
	st := &state{token: token, ids: make([]fileID, len(s.files))}
	texts := make([][]raw, len(s.files))
	for i, f := range s.files {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Path, err)
		}
		data, id, err := read(f.Path)
		if at := (*syntaxError)(nil); errors.As(err, &at) {
			return nil, s.corrupt(i, err)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s records: %w", s.schema.Kind, err)
		}
		st.ids[i] = id
		if texts[i], err = s.parseFile(i, data, id); err != nil {
			return nil, err
		}
	}
	var err error
	st.snapshot, err = newSnapshot(s.plan, texts, s.schema.CheckID)
	if inFile := (*fileError)(nil); errors.As(err, &inFile) {
		return nil, s.corrupt(inFile.file, inFile.err)
	}
	return st, err
}

// parseFile finds the records in a file's data; id is zero if there is no file.
func (s *Store[R]) parseFile(file int, data []byte, id fileID) ([]raw, error) {
	if id == (fileID{}) {
		return nil, nil
	}
	if len(data) == 0 {
		return nil, s.checkEmpty(file)
	}
	records, err := parse(data, s.plan.wanted)
	if err != nil {
		return nil, s.corrupt(file, err)
	}
	return records, nil
}

// checkEmpty decides whether a file of zero length holds no records or has lost them.
func (s *Store[R]) checkEmpty(file int) error {
	if s.schema.EmptyIsDamage == nil || !s.schema.EmptyIsDamage(s.files[file].Path) {
		return nil
	}
	reason := fmt.Sprintf("the file is empty although there are %ss", s.schema.Kind)
	return s.corrupt(file, &syntaxError{0, reason})
}

// corrupt makes the error for damage in a file.
func (s *Store[R]) corrupt(file int, err error) error {
	c := &CorruptError{Path: s.files[file].Path, Reason: err.Error()}
	if at := (*syntaxError)(nil); errors.As(err, &at) {
		c.Offset, c.Reason = int64(at.offset), at.reason
	}
	c.Backup = LastGood(c.Path, s.files[file].Backup)
	return c
}

// read returns a file's content; no data and a zero ID if it does not exist. Only
// regular files are read, links are not followed.
func read(path string) ([]byte, fileID, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fileID{}, nil
	}
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, fileID{}, errNotAFile
	}
	if err != nil {
		return nil, fileID{}, err
	}
	defer f.Close() // read only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, fileID{}, err
	}
	if !info.Mode().IsRegular() {
		return nil, fileID{}, errNotAFile
	}
	if info.Size() > maxFile {
		return nil, fileID{}, fmt.Errorf("%s has %d bytes: %w", path, info.Size(), errdefs.ErrLimit)
	}
	if err := looksLikeRecords(f, info.Size()); err != nil {
		return nil, fileID{}, err
	}
	data, err := readAll(f, info.Size())
	if err != nil {
		return nil, fileID{}, fmt.Errorf("read %s: %w", path, err)
	}
	return data, idOf(info), nil
}

// errNotAFile: links are not followed, and nobody waits at a FIFO.
var errNotAFile = &syntaxError{0, "it is no regular file"}

// looksLikeRecords refuses a large file that begins with something that no JSON text does, such as
// nothing but zeros, before it is taken into memory.
func looksLikeRecords(f io.ReaderAt, size int64) error {
	const large = 1 << 20
	if size < large {
		return nil
	}
	var first [1]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return err
	}
	if bytes.IndexByte([]byte("[n \t\r\n"), first[0]) < 0 {
		return &syntaxError{0, fmt.Sprintf("no list of records begins with %q", first[0])}
	}
	return nil
}

// readAll reads size bytes, large files by several goroutines: getting memory from
// the kernel takes longer than copying.
func readAll(f io.ReaderAt, size int64) ([]byte, error) {
	const piece = 1 << 20
	data := make([]byte, size)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for start := int64(0); start < size; start += piece {
		end := min(start+piece, size)
		group.Go(func() error {
			n, err := f.ReadAt(data[start:end], start)
			if int64(n) == end-start {
				return nil
			}
			return cmp.Or(err, io.ErrUnexpectedEOF)
		})
	}
	return data, group.Wait()
}
