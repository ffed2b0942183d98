package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/stratastore/strata/archive"
	"github.com/stratastore/strata/errdefs"
)

// OpenOptions say how to open a source of images.
type OpenOptions struct {
	// TempDir is for the unnamed file that spools what can't be read at random; it
	// vanishes with the process. Empty: the system's.
	TempDir string
	// Limits bound what one layer may unpack to. Of an archive as a whole, which may hold
	// many layers, only MaxRatio is theirs. Zero fields are the defaults.
	Limits archive.Limits
}

// Open opens what lies at path: the directory of an OCI layout, or an OCI archive
// or docker-archive, plain or compressed. "-" reads an archive from stdin. The caller
// closes the Source.
//
// errdefs.ErrLimit, errdefs.ErrCorrupt, errdefs.ErrInvalid for something else.
func Open(ctx context.Context, path string, stdin io.Reader, opts OpenOptions) (Source, error) {
	if path == "-" {
		return openStream(ctx, stdin, opts)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return OpenLayout(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	src, err := openFile(ctx, f, opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, f.Close()))
	}
	return src, nil
}

// openFile takes f over when it succeeds, or closes it when a spooled copy serves instead.
func openFile(ctx context.Context, f *os.File, opts OpenOptions) (Source, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, 8)
	n, err := f.ReadAt(head, 0)
	random := err == nil || errors.Is(err, io.EOF)
	if random && info.Mode().IsRegular() && archive.Detect(head[:n]) == archive.None {
		return openArchive(ctx, f, opts.Limits)
	}
	src, err := openStream(ctx, f, opts)
	if err != nil {
		return nil, err
	}
	return src, f.Close()
}

// openStream spools r, decompressed, and opens the copy.
func openStream(ctx context.Context, r io.Reader, opts OpenOptions) (Source, error) {
	plain, _, err := archive.DecompressWithin(r, archive.Limits{MaxRatio: opts.Limits.MaxRatio})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	spool, err := unnamedFile(opts.TempDir)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(spool, contextReader{ctx, plain}); err != nil {
		return nil, errors.Join(fmt.Errorf("read image archive: %w", err), spool.Close())
	}
	src, err := openArchive(ctx, spool, opts.Limits)
	if err != nil {
		return nil, errors.Join(err, spool.Close())
	}
	return src, nil
}

// openArchive tells an OCI archive from a docker-archive. Docker's newer engines
// write both into one file; the OCI part says more.
func openArchive(ctx context.Context, f *os.File, limits archive.Limits) (Source, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	members, err := indexTar(f, info.Size())
	if err != nil {
		return nil, err
	}
	members.close = f.Close
	if _, ok := members.find(v1.ImageLayoutFile); ok {
		return newLayout(members)
	}
	if _, ok := members.find(dockerIndex); ok {
		return openDockerArchive(ctx, members, limits)
	}
	if !ended(f, info.Size()) {
		return nil, fmt.Errorf("image archive: %w: %w", io.ErrUnexpectedEOF, errdefs.ErrCorrupt)
	}
	return nil, errdefs.WithHint(
		fmt.Errorf("neither an OCI archive (%s) nor a docker-archive (%s): %w", v1.ImageLayoutFile, dockerIndex, errdefs.ErrInvalid),
		"to make an image from a root file system, use: strata import --name NAME TAR")
}

// unnamedFile makes a file without a name in dir; it is gone when it is closed, however the process ends.
func unnamedFile(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &fs.PathError{Op: "make a spool file in", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, "strata-spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// contextReader ends with the context's error once it is cancelled.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one copy
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
