package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// content copies exactly size bytes, as many as the header promises. What a
// file lost meanwhile is filled with zeros and what it gained is left out; both
// are remembered for the end. Other errors break the tar off.
func (p *packer) content(ctx context.Context, f *contentFile, size int64, path string) error {
	buf := contentBuffers.get()
	defer contentBuffers.put(buf)
	copied, err := p.copyUpTo(ctx, f, size, *buf)
	if err != nil {
		return pathError("pack", path, err)
	}
	if err := p.zeros(ctx, size-copied, *buf); err != nil {
		return pathError("pack", path, err)
	}
	st, err := f.stat()
	if err != nil {
		return pathError("stat", path, err)
	}
	if copied < size || st.Size != size {
		p.changed = append(p.changed, fmt.Errorf("%q: %w: it had %d bytes and has %d", path, ErrFileChanged, size, st.Size))
	}
	return nil
}

// copyUpTo copies at most limit bytes and returns how many there were.
func (p *packer) copyUpTo(ctx context.Context, r io.Reader, limit int64, buf []byte) (copied int64, err error) {
	for copied < limit {
		if err := ctx.Err(); err != nil {
			return copied, err
		}
		n, err := r.Read(buf[:min(int64(len(buf)), limit-copied)])
		copied += int64(n)
		if _, werr := p.tar.Write(buf[:n]); werr != nil {
			return copied, werr
		}
		if errors.Is(err, io.EOF) {
			return copied, nil
		}
		if err != nil {
			return copied, err
		}
	}
	return copied, nil
}

// zeros writes n zero bytes.
func (p *packer) zeros(ctx context.Context, n int64, buf []byte) error {
	if n <= 0 {
		return nil
	}
	clear(buf)
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := min(int64(len(buf)), n)
		if _, err := p.tar.Write(buf[:size]); err != nil {
			return err
		}
		n -= size
	}
	return nil
}
