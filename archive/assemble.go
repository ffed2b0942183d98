package archive

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"path"

	"github.com/stratastore/strata/errdefs"
)

// Assemble puts a layer's tar together again from its tar-split (on-disk format,
// 2.10): JSON lines, uncompressed, of raw segments and of names of files whose
// content comes from files. What it writes to w are the bytes that the split was
// made from, headers, padding and trailer included; what follows the end of the
// archive in the original follows here too.
//
// Each content must have the recorded length and the recorded CRC-64 (ISO
// polynomial, as hash/crc64 computes it); if not, if a file is missing or is
// no file, if a line can not be understood or a name is there twice, the error is
// an errdefs.ErrCorrupt that names the file or the line. By then part of the tar
// is written: whoever reads it must not take it for whole. A CRC is no proof
// against intent; check the digest of the output where that matters.
//
// The caller closes files. The context is looked at for every line and every MiB.
func Assemble(ctx context.Context, w io.Writer, split io.Reader, files FileGetter) error {
	out := bufio.NewWriterSize(w, packBuffer)
	a := &assembler{
		lines: newSplitLines(split), out: out, files: files,
		seen: make(map[string]struct{}), table: crc64.MakeTable(crc64.ISO),
	}
	if err := a.run(ctx); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write tar: %w", err)
	}
	return nil
}

// packBuffer gathers headers and small files into writes that are worth a
// hand-over to whoever reads the tar.
const packBuffer = 256 << 10

// assembler is one run of Assemble.
type assembler struct {
	lines *splitLines
	out   *bufio.Writer
	files FileGetter
	seen  map[string]struct{}
	table *crc64.Table
}

func (a *assembler) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		entry, err := a.lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.entry(ctx, entry); err != nil {
			return err
		}
	}
}

func (a *assembler) entry(ctx context.Context, e *splitEntry) error {
	switch e.Type {
	case splitTypeSegment:
		if _, err := a.out.Write(e.Payload); err != nil {
			return fmt.Errorf("write tar: %w", err)
		}
		return nil
	case splitTypeFile:
		return a.file(ctx, e)
	}
	return a.lines.corrupt(fmt.Sprintf("entry type %d", e.Type))
}

// file writes the content of one file entry. Entries without content
// (directories, links, whiteouts) are there for the order only.
func (a *assembler) file(ctx context.Context, e *splitEntry) error {
	name := e.name()
	clean := path.Clean(name)
	if _, twice := a.seen[clean]; twice {
		return a.lines.corrupt(fmt.Sprintf("name %q is there twice", name))
	}
	a.seen[clean] = struct{}{}
	if e.Size == 0 {
		return nil
	}
	if e.Size < 0 || len(e.Payload) != crc64.Size || name == "" {
		return a.lines.corrupt(fmt.Sprintf("file %q with size %d and a check value of %d bytes", name, e.Size, len(e.Payload)))
	}
	content, err := a.files.Get(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file %q of the layer is missing: %w", name, errdefs.ErrCorrupt)
	case err != nil:
		return fmt.Errorf("file %q of the layer: %w", name, err)
	}
	err = a.copy(ctx, content, e.Size, binary.BigEndian.Uint64(e.Payload))
	if err = errors.Join(err, content.Close()); err != nil {
		return fmt.Errorf("file %q of the layer: %w", name, err)
	}
	return nil
}

// copy writes r, which must have exactly size bytes with the given CRC.
func (a *assembler) copy(ctx context.Context, r io.Reader, size int64, want uint64) error {
	buf := contentBuffers.get()
	defer contentBuffers.put(buf)
	var crc uint64
	var copied int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		// One byte more than is left shows a file that is too long.
		n, err := io.ReadAtLeast(r, (*buf)[:min(int64(len(*buf)), size-copied+1)], 1)
		if copied += int64(n); copied > size {
			return fmt.Errorf("%w: content is longer than %d bytes", errdefs.ErrCorrupt, size)
		}
		crc = crc64.Update(crc, a.table, (*buf)[:n])
		if _, err := a.out.Write((*buf)[:n]); err != nil {
			return fmt.Errorf("write tar: %w", err)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	switch {
	case copied != size:
		return fmt.Errorf("%w: content has %d bytes instead of %d", errdefs.ErrCorrupt, copied, size)
	case crc != want:
		return fmt.Errorf("%w: content has check value %016x instead of %016x", errdefs.ErrCorrupt, crc, want)
	}
	return nil
}
