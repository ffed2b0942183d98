package archive

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"
)

// payload is the content of a stream's current entry while it goes by.
type payload struct {
	left int64 // bytes not read yet
	// direct: the bytes are taken past the parser, which would fill a sparse
	// file's holes with zeros.
	direct bool
	// inline: the bytes go into the tar-split lines themselves, because no file of
	// that name and content will be there to look them up in.
	inline bool
	crc    uint64
	seg    []byte // raw bytes of the next segment
	filed  bool   // the entry's file line is out
}

// contentSize is how many bytes follow a header. Some tools write a size for
// hard links and directories too, which have nothing after them.
func contentSize(hdr *tar.Header) int64 {
	switch hdr.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo, tar.TypeXGlobalHeader:
		return 0
	}
	return hdr.Size
}

// begin starts on the stream's new current entry, whose raw header bytes are raw.
func (l *payload) begin(s *Stream, raw []byte) {
	l.left = s.cur.size
	l.direct = s.cur.sparse != nil
	l.inline = l.left > 0 && (l.direct || !keptOnDisk(s.cur.name))
	l.crc = 0
	l.filed = false
	switch {
	case s.split == nil:
	case l.inline:
		// The first content stays with the headers: readers of the lines expect a
		// header at the start of a segment.
		l.seg = append(l.seg[:0], raw...)
	default:
		s.split.segment(raw)
		if l.left == 0 {
			s.split.file(s.cur.hdr.Name, 0, 0)
		}
	}
}

// keptOnDisk reports whether an entry's content can be found under its name
// later: whiteouts have none, and aufs's own files are not unpacked.
func keptOnDisk(name string) bool {
	meta, _ := metaPart(name)
	return !meta && !strings.HasPrefix(path.Base(name), whiteoutPrefix)
}

// content reads from the current entry's content, which has something left.
func (s *Stream) content(p []byte) (n int, err error) {
	l := &s.load
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	if l.direct {
		n, err = s.tap.Read(p)
	} else {
		n, err = s.tr.Read(p)
	}
	l.left -= int64(n)
	if s.split != nil {
		l.account(s, p[:n])
	}
	switch {
	case s.tap.err != nil:
		s.err = s.tap.err
	case l.left == 0, err == nil:
		s.err = s.split.failed()
	case errors.Is(err, io.EOF):
		s.err = s.corrupt(io.ErrUnexpectedEOF)
	default:
		s.err = s.corrupt(err)
	}
	return n, s.err
}

// account puts content bytes into the lines or their checksum.
func (l *payload) account(s *Stream, p []byte) {
	if l.inline {
		l.raw(s, p)
	} else {
		l.crc = updateCRC(l.crc, p)
	}
	switch {
	case l.left > 0:
	case l.inline:
		l.flush(s)
	default:
		s.split.file(s.cur.hdr.Name, s.cur.size, l.crc)
	}
}

// raw collects bytes for segments of limited size.
func (l *payload) raw(s *Stream, p []byte) {
	if s.split == nil {
		return
	}
	for len(p) > 0 {
		room := splitSegment - len(l.seg)
		if room <= 0 {
			l.flush(s)
			continue
		}
		n := min(room, len(p))
		l.seg = append(l.seg, p[:n]...)
		p = p[n:]
	}
}

// flush writes the collected segment, and the file line after the first one.
func (l *payload) flush(s *Stream) {
	s.split.segment(l.seg)
	l.seg = l.seg[:0]
	if !l.filed {
		s.split.file(s.cur.hdr.Name, 0, 0)
		l.filed = true
	}
}
