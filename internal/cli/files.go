package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/stratastore/strata/internal/atomicfile"
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
	file  *os.File           // nil unless it has its name already
	whole *atomicfile.Stream // nil unless it gets its name at the end
	// durable: the file must survive a power cut, since what it was made of may go next.
	durable bool
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
	f, err := atomicfile.Create(path, mode)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return &output{Writer: f, whole: f}, nil
}

// finish closes the file and gives it its name.
func (o *output) finish() error {
	switch {
	case o.whole != nil && o.durable:
		return o.whole.CommitDurable()
	case o.whole != nil:
		return o.whole.Commit()
	case o.file != nil:
		f := o.file
		o.file = nil
		return f.Close()
	}
	return nil
}

// abandon closes an unfinished output and removes its file. It is always safe to defer.
func (o *output) abandon() {
	if o.whole != nil {
		o.whole.Abort()
	}
	if o.file != nil {
		_ = o.file.Close() // what was written is given up anyway
		o.file = nil
	}
}
