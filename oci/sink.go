package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/stratastore/strata/internal/atomicfile"
)

// sink takes the files of a layout or docker-archive. Files come one after the
// other; finish makes the whole visible, abort leaves nothing behind.
type sink interface {
	// has reports whether a file of that name and size is there already.
	has(name string, size int64) bool
	// put writes a file of exactly size bytes.
	put(name string, size int64, r io.Reader) error
	finish() error
	abort() error
}

// epoch is the time of every member: the same image gives the same archive.
var epoch = time.Unix(0, 0)

// tarSink writes a tar, to a stream or to a file that appears when it is complete.
type tarSink struct {
	tw   *tar.Writer
	dirs map[string]bool
	seen map[string]bool
	// file gets its name by finish; nil for a stream.
	file *atomicfile.Stream
}

// newTarStream writes to w, which stays open.
func newTarStream(w io.Writer) *tarSink {
	return &tarSink{tw: tar.NewWriter(w), dirs: map[string]bool{}, seen: map[string]bool{}}
}

// newTarFile writes a file that is at path when it is complete.
func newTarFile(path string) (*tarSink, error) {
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return nil, err
	}
	s := newTarStream(f)
	s.file = f
	return s, nil
}

func (s *tarSink) has(name string, _ int64) bool { return s.seen[name] }

func (s *tarSink) put(name string, size int64, r io.Reader) error {
	if err := s.mkdirs(filepath.Dir(name)); err != nil {
		return err
	}
	s.seen[name] = true
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: epoch}
	if err := s.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return copyExactly(s.tw, r, name, size)
}

func (s *tarSink) mkdirs(dir string) error {
	if dir == "." || s.dirs[dir] {
		return nil
	}
	if err := s.mkdirs(filepath.Dir(dir)); err != nil {
		return err
	}
	s.dirs[dir] = true
	return s.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: epoch})
}

func (s *tarSink) finish() error {
	if err := s.tw.Close(); err != nil || s.file == nil {
		return err
	}
	if err := s.file.Chmod(0o644); err != nil {
		return err
	}
	return s.file.CommitDurable()
}

func (s *tarSink) abort() error {
	if s.file != nil {
		s.file.Abort()
	}
	return nil
}

// dirSink writes an OCI layout directory. A blob appears under its name when it is
// complete; index.json, which makes it count, comes last.
type dirSink struct {
	root    string
	created []string
	fresh   bool
}

// newDirSink makes dir if needed; an existing one has to be a layout or empty.
func newDirSink(dir string) (*dirSink, error) {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return &dirSink{root: dir}, checkTarget(dir)
	}
	return &dirSink{root: dir, fresh: err == nil}, err
}

func (s *dirSink) has(name string, size int64) bool {
	info, err := os.Lstat(filepath.Join(s.root, name))
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// put makes sure that the blobs are there to stay before the index speaks of them.
func (s *dirSink) put(name string, size int64, r io.Reader) error {
	if name != v1.ImageIndexFile {
		return s.putFile(name, size, r)
	}
	for _, dir := range []string{"blobs/sha256", "blobs"} {
		if err := atomicfile.SyncDir(filepath.Join(s.root, dir)); err != nil {
			return err
		}
	}
	err := s.putFile(name, size, r)
	if err == nil {
		s.created = nil
	}
	return err
}

func (s *dirSink) putFile(name string, size int64, r io.Reader) error {
	target := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := atomicfile.Create(target, 0o600)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := errors.Join(copyExactly(f, r, name, size), f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	_, statErr := os.Lstat(target)
	if err := f.Commit(); err != nil {
		return err
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		s.created = append(s.created, target)
	}
	return nil
}

func (s *dirSink) finish() error { return atomicfile.SyncDir(s.root) }

// abort removes what this sink added and no index speaks of; blobs of an earlier save stay.
func (s *dirSink) abort() error {
	if s.fresh {
		return os.RemoveAll(s.root)
	}
	var errs []error
	for _, path := range s.created {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

func checkTarget(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	src, err := OpenLayout(dir)
	if err != nil {
		return fmt.Errorf("the directory is neither empty nor an image layout: %w", err)
	}
	return src.Close()
}

// copyExactly copies size bytes and fails when r has fewer or more.
func copyExactly(w io.Writer, r io.Reader, name string, size int64) error {
	n, err := io.Copy(w, io.LimitReader(r, size))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if n != size {
		return fmt.Errorf("write %s: %d of %d bytes: %w", name, n, size, io.ErrUnexpectedEOF)
	}
	var one [1]byte
	if n, err := io.ReadFull(r, one[:]); n > 0 {
		return fmt.Errorf("write %s: more than %d bytes", name, size)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("write %s: %w", name, err) // the reader's verdict at its end counts
	}
	return nil
}
