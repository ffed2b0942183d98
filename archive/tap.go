package archive

import (
	"errors"
	"io"
)

// tap stands between a tar's bytes and its parser. It counts them, caps them
// and, while a header is being read, keeps them: the parser reads no byte
// ahead, so what passes between two payloads is exactly the padding and the
// header blocks, whatever their format.
type tap struct {
	r        io.Reader
	n        int64 // bytes so far
	maxBytes int64

	capture   bool
	raw       []byte
	maxHeader int64

	// err is why reading stopped, other than at the end of the input.
	err error
}

func (t *tap) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if rest := t.maxBytes - t.n; int64(len(p)) > rest {
		p = p[:rest+1] // one more than allowed tells a tar at its limit from one beyond
	}
	n, err := t.r.Read(p)
	t.n += int64(n)
	switch {
	case t.n > t.maxBytes:
		err = limitError("bytes", t.maxBytes)
	case t.capture:
		t.raw = append(t.raw, p[:n]...)
		if int64(len(t.raw)) > t.maxHeader {
			err = limitError("bytes of headers for one entry", t.maxHeader)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		t.err = err
	}
	return n, err
}

// record starts keeping bytes, anew.
func (t *tap) record() {
	t.raw = t.raw[:0]
	t.capture = true
}

// stop ends the keeping and returns what was kept, valid until the next record.
func (t *tap) stop() []byte {
	t.capture = false
	return t.raw
}
