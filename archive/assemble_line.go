package archive

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stratastore/strata/errdefs"
)

// The types of tar-split entries.
const (
	splitTypeFile    = 1
	splitTypeSegment = 2
)

// splitEntry is one line of a tar-split. The running number is not needed to put
// the tar together.
type splitEntry struct {
	Type     int    `json:"type"`
	Name     string `json:"name"`
	NameRaw  []byte `json:"name_raw"`
	Size     int64  `json:"size"`
	Payload  []byte `json:"payload"`
	Position int    `json:"position"`
}

// name returns the name's bytes as they stand in the tar.
func (e *splitEntry) name() string {
	if e.Name == "" {
		return string(e.NameRaw)
	}
	return e.Name
}

// maxSplitLine caps one line. Segments of content and trailer have 1 MiB; the
// headers of one entry can be longer, but not by much more than the caps of Limits.
const maxSplitLine = 48 << 20

// splitLines reads a tar-split line by line.
type splitLines struct {
	in *bufio.Reader
	// long holds a line that is longer than in's buffer.
	long  []byte
	entry splitEntry
	// payload holds the decoded segment.
	payload []byte
	line    int
}

func newSplitLines(r io.Reader) *splitLines { return &splitLines{in: bufio.NewReaderSize(r, 64<<10)} }

// next returns the next entry, valid until the next call, and io.EOF at the end.
func (s *splitLines) next() (*splitEntry, error) {
	for {
		line, err := s.read()
		if err != nil {
			return nil, err
		}
		line = bytes.Trim(line, " \t\r\n") // what JSON takes for space
		if len(line) == 0 {
			continue
		}
		if s.segment(line) {
			return &s.entry, nil
		}
		s.entry = splitEntry{Payload: s.entry.Payload[:0]}
		if err := json.Unmarshal(line, &s.entry); err != nil {
			return nil, s.corrupt(err.Error())
		}
		return &s.entry, nil
	}
}

// read returns the next line; the last one may lack its line feed.
func (s *splitLines) read() ([]byte, error) {
	s.line++
	line, err := s.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return s.atEnd(line, err)
	}
	s.long = append(s.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(s.long) > maxSplitLine {
			return nil, fmt.Errorf("tar-split line %d: %w: longer than %d bytes", s.line, errdefs.ErrLimit, maxSplitLine)
		}
		line, err = s.in.ReadSlice('\n')
		s.long = append(s.long, line...)
	}
	return s.atEnd(s.long, err)
}

func (s *splitLines) atEnd(line []byte, err error) ([]byte, error) {
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(line) > 0:
		return line, nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, fmt.Errorf("read tar-split line %d: %w", s.line, err)
}

// The form in which all known writers put a segment.
var (
	segmentStart    = []byte(`{"type":2,"payload":"`)
	segmentPosition = []byte(`","position":`)
)

// segment decodes a line of the usual form of a segment, which is half of all
// lines and nearly all bytes; false leaves the line to the general decoder.
func (s *splitLines) segment(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, segmentStart)
	if !ok {
		return false
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || !isSegmentEnd(rest[end:]) || bytes.IndexByte(rest[:end], '\r') >= 0 {
		return false // base64 would skip the carriage return, which JSON does not allow
	}
	size := base64.StdEncoding.DecodedLen(end)
	if cap(s.payload) < size {
		s.payload = make([]byte, size+size/2)
	}
	n, err := base64.StdEncoding.Decode(s.payload[:size], rest[:end])
	s.entry = splitEntry{Type: splitTypeSegment, Payload: s.payload[:n]}
	return err == nil
}

// isSegmentEnd reports whether b closes the payload and the line.
func isSegmentEnd(b []byte) bool {
	if string(b) == `"}` {
		return true
	}
	number, ok := bytes.CutPrefix(b, segmentPosition)
	if !ok {
		return false
	}
	number, ok = bytes.CutSuffix(number, []byte("}"))
	if !ok || len(number) == 0 || len(number) > maxPositionDigits || number[0] == '0' && len(number) > 1 {
		return false
	}
	for _, c := range number {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// maxPositionDigits is how many decimal digits fit an int anywhere.
const maxPositionDigits = 9

// corrupt says what is wrong with the current line.
func (s *splitLines) corrupt(what string) error {
	return fmt.Errorf("tar-split line %d: %w: %s", s.line, errdefs.ErrCorrupt, what)
}
