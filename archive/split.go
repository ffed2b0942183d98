package archive

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"strconv"
	"unicode/utf8"
)

const (
	// splitSegment is the most raw bytes in one segment; only an entry's headers,
	// which have to stay together, may be longer (on-disk format, 2.10).
	splitSegment = 1 << 20
	// splitBuffer is how much is collected before the writer gets it.
	splitBuffer = 64 << 10
)

// splitWriter writes tar-split lines: everything that rebuilds a tar except for
// the content of its files. A nil splitWriter writes nothing.
//
// The lines are those that tar-split's own packer makes, byte for byte. They
// are built by hand because encoding/json took longer than reading the tar.
type splitWriter struct {
	w        io.Writer
	line     []byte
	position int64
	err      error
}

func newSplitWriter(w io.Writer) *splitWriter {
	if w == nil {
		return nil
	}
	return &splitWriter{w: w, line: make([]byte, 0, 2*splitBuffer)}
}

// segment writes raw bytes: headers, padding, and content that is not looked up
// in files. Nothing gives no line.
func (s *splitWriter) segment(raw []byte) {
	if s == nil || len(raw) == 0 {
		return
	}
	s.line = append(s.line, `{"type":2,"payload":"`...)
	s.line = base64.StdEncoding.AppendEncode(s.line, raw)
	s.line = append(s.line, '"')
	s.end()
}

// file writes the entry of a tar header. size and crc are of the content that
// has to be put here again; zero for an entry without any.
func (s *splitWriter) file(name string, size int64, crc uint64) {
	if s == nil {
		return
	}
	s.line = append(s.line, `{"type":1`...)
	s.name(name)
	if size == 0 {
		s.line = append(s.line, `,"payload":null`...)
	} else {
		var sum [8]byte
		binary.BigEndian.PutUint64(sum[:], crc)
		s.line = append(s.line, `,"size":`...)
		s.line = strconv.AppendInt(s.line, size, 10)
		s.line = append(s.line, `,"payload":"`...)
		s.line = base64.StdEncoding.AppendEncode(s.line, sum[:])
		s.line = append(s.line, '"')
	}
	s.end()
}

// name writes the member for a name; an empty one is left out.
func (s *splitWriter) name(name string) {
	switch {
	case name == "":
	case plainJSON(name):
		s.line = append(s.line, `,"name":"`...)
		s.line = append(s.line, name...)
		s.line = append(s.line, '"')
	case utf8.ValidString(name):
		quoted, err := json.Marshal(name)
		if err != nil && s.err == nil {
			s.err = err
		}
		s.line = append(s.line, `,"name":`...)
		s.line = append(s.line, quoted...)
	default:
		s.line = append(s.line, `,"name_raw":"`...)
		s.line = base64.StdEncoding.AppendEncode(s.line, []byte(name))
		s.line = append(s.line, '"')
	}
}

// plainJSON reports whether encoding/json would write s as it is.
func plainJSON(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}

func (s *splitWriter) end() {
	s.line = append(s.line, `,"position":`...)
	s.line = strconv.AppendInt(s.line, s.position, 10)
	s.line = append(s.line, "}\n"...)
	s.position++
	if len(s.line) >= splitBuffer {
		_ = s.flush() // the error stays for the last flush
	}
}

// flush hands over what was collected. The first error stays.
func (s *splitWriter) flush() error {
	if s == nil {
		return nil
	}
	if s.err == nil && len(s.line) > 0 {
		_, s.err = s.w.Write(s.line)
	}
	s.line = s.line[:0]
	return s.err
}

// failed returns the first error so far.
func (s *splitWriter) failed() error {
	if s == nil {
		return nil
	}
	return s.err
}
