package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// input opens the file that a verb reads from, or standard input. The caller closes it.
func (c *Call) input(ctx context.Context, path string) (io.ReadCloser, error) {
	if path == "" || path == "-" {
		return c.stdin(ctx), nil
	}
	return os.Open(path)
}

// stdinBuffer is how much is read from standard input at once, in bytes.
const stdinBuffer = 256 << 10

// stdin reads standard input until the context ends: a read that waits for a
// program that writes nothing can not be interrupted otherwise.
func (c *Call) stdin(ctx context.Context) io.ReadCloser {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.CopyBuffer(w, onlyReader{c.In}, make([]byte, stdinBuffer))
		w.CloseWithError(err)
	}()
	return r
}

// onlyReader hides what io.CopyBuffer would use instead of its buffer.
type onlyReader struct{ io.Reader }

// output is where a verb writes bulk data: standard output, or a file that
// appears under its name only once it is whole.
type output struct {
	io.Writer
	file *os.File
	path string // "": the file has its name already
}

// output opens the file that a verb writes to, or standard output. The old
// command makes the file at once; that is kept in the classic manner, and for
// what can not be replaced (a device, a pipe).
func (c *Call) output(path string) (*output, error) {
	if path == "" || path == "-" {
		return &output{Writer: c.Out}, nil
	}
	info, err := os.Stat(path)
	if c.classic() || (err == nil && !info.Mode().IsRegular()) {
		f, err := os.Create(path)
		return &output{Writer: f, file: f}, err
	}
	mode := fs.FileMode(0o666)
	if err == nil {
		mode = info.Mode().Perm()
	}
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s-%d", filepath.Base(path), rand.Uint64()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return &output{Writer: f, file: f, path: path}, nil
}

// finish closes the file and gives it its name.
func (o *output) finish() error {
	if o.file == nil {
		return nil
	}
	f := o.file
	o.file = nil
	err := f.Close()
	if o.path == "" {
		return err
	}
	if err == nil {
		err = os.Rename(f.Name(), o.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// abandon closes an unfinished output and removes its file. It is always safe to defer.
func (o *output) abandon() {
	if o.file == nil {
		return
	}
	_ = o.file.Close() // what was written is given up anyway
	if o.path != "" {
		_ = os.Remove(o.file.Name())
	}
	o.file = nil
}
