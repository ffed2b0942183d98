package archive

import (
	"bufio"
	"io"

	"github.com/ulikunitz/xz"
)

// emptyXz is an xz stream of nothing: header, index and footer (the .xz file
// format, 2.1 and 4).
const emptyXz = "\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46" +
	"\x00\x00\x00\x00\x1c\xdf\x44\x21" +
	"\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04YZ"

// openXz opens the xz decoder, which takes the end of its input for the end of
// the last stream in many places where it is a cut. So it gets one more, empty
// stream behind the others. Only a decoder that stands between two streams
// begins on that with a header's four bytes of magic and comes through it.
func openXz(in *bufio.Reader) (io.ReadCloser, error) {
	c := &closing{in: in}
	d, err := xz.NewReader(c)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(&xzReader{dec: d, in: c}), nil
}

type xzReader struct {
	dec io.Reader
	in  *closing
}

func (x *xzReader) Read(p []byte) (int, error) {
	n, err := x.dec.Read(p)
	if err == io.EOF && (x.in.first != 4 || x.in.used != len(emptyXz)) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// closing is in with emptyXz at its end.
type closing struct {
	in    *bufio.Reader
	used  int // of emptyXz
	first int // how much was asked for when it began
}

func (c *closing) Read(p []byte) (int, error) {
	if c.used == 0 {
		n, err := c.in.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		c.first = len(p)
	}
	n := copy(p, emptyXz[c.used:])
	c.used += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// ReadByte keeps the decoder from buffering, and so from reading ahead.
func (c *closing) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return b[0], err
}
