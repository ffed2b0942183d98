package layer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/atomicfile"
	"github.com/stratastore/strata/internal/faults"
)

// splitBuffer is how many bytes of tar-split lines are gathered before they are
// compressed, and of compressed ones before they are written.
const splitBuffer = 64 << 10

// splitFile is a tar-split on its way in (on-disk format, 2.10): lines go in,
// one fast gzip stream comes out. It is written in a temp directory and renamed
// into place by adopt.
type splitFile struct {
	file *os.File
	out  *bufio.Writer // to file
	gz   *gzip.Writer  // to out
	in   *bufio.Writer // to gz
}

// newSplitFile creates the file; the caller calls finish or abort.
func newSplitFile(path string) (*splitFile, error) {
	if err := faults.Hit("layer.split.create", path); err != nil {
		return nil, fmt.Errorf("create tar-split: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create tar-split: %w", err)
	}
	s := &splitFile{file: f, out: bufio.NewWriterSize(f, splitBuffer)}
	if s.gz, err = gzip.NewWriterLevel(s.out, gzip.BestSpeed); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.in = bufio.NewWriterSize(s.gz, splitBuffer)
	return s, nil
}

// Write takes tar-split lines.
func (s *splitFile) Write(p []byte) (int, error) { return s.in.Write(p) }

// finish ends the gzip stream. A full disk shows here at the latest.
func (s *splitFile) finish() error {
	for _, flush := range []func() error{s.in.Flush, s.gz.Close, s.out.Flush} {
		if err := flush(); err != nil {
			return fmt.Errorf("write tar-split: %w", err)
		}
	}
	return nil
}

// sync makes the content durable.
func (s *splitFile) sync() error {
	if err := faults.Hit("layer.split.sync", s.file.Name()); err != nil {
		return fmt.Errorf("sync tar-split: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync tar-split: %w", err)
	}
	return nil
}

// adopt renames the file to its place beside the records; durable asks for the
// directory to be synced.
func (s *splitFile) adopt(dir string, id ID, durable bool) error {
	path, err := splitPath(dir, id)
	if err != nil {
		return err
	}
	if err := faults.Hit("layer.split.rename", dir); err != nil {
		return fmt.Errorf("adopt tar-split: %w", err)
	}
	if err := os.Rename(s.file.Name(), path); err != nil {
		return fmt.Errorf("adopt tar-split: %w", err)
	}
	if !durable {
		return nil
	}
	return atomicfile.SyncDir(dir)
}

// moveTo renames the file out of the temp directory, so that no sweep takes it.
func (s *splitFile) moveTo(path string) error {
	if err := faults.Hit("layer.split.move", path); err != nil {
		return fmt.Errorf("put tar-split in place: %w", err)
	}
	if err := os.Rename(s.file.Name(), path); err != nil {
		return fmt.Errorf("put tar-split in place: %w", err)
	}
	return nil
}

// close lets go of the file; the temp directory removes it if it is still there.
func (s *splitFile) close() error { return s.file.Close() }

// splitReader is an open tar-split: uncompressed lines come out. Whatever is wrong
// inside is an errdefs.ErrCorrupt.
type splitReader struct {
	file *os.File
	gz   *gzip.Reader
}

// openSplit opens the tar-split of id below dir; fs.ErrNotExist if there is none.
// The file stays readable when it is removed meanwhile.
func openSplit(dir string, id ID) (*splitReader, error) {
	path, err := splitPath(dir, id)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	gz, err := gzip.NewReader(bufio.NewReaderSize(f, splitBuffer))
	if err != nil {
		return nil, errors.Join(splitError(err), f.Close())
	}
	return &splitReader{file: f, gz: gz}, nil
}

func (s *splitReader) Read(p []byte) (int, error) {
	n, err := s.gz.Read(p)
	if err == nil || err == io.EOF { //nolint:errorlint // the reader's own end, as io.Reader says it
		return n, err
	}
	return n, splitError(err)
}

func (s *splitReader) Close() error { return errors.Join(s.gz.Close(), s.file.Close()) }

func splitError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("tar-split is damaged: %w: %w", err, errdefs.ErrCorrupt)
}
