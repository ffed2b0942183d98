package oci

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/stratastore/strata/errdefs"
)

// Caps on the members of an image archive, of which images have a few hundred, and on the
// bytes of their names, which are all remembered.
const (
	maxMembers     = 100_000
	maxMemberNames = 32 << 20
)

// member is where a file's bytes lie in the archive.
type member struct{ offset, size int64 }

// tarFiles gives random access to the files of an uncompressed tar. Links between
// members (old docker-archives share layers by symbolic links) are resolved by name.
type tarFiles struct {
	r       io.ReaderAt
	members map[string]member
	links   map[string]string
	names   int // bytes
	close   func() error
}

// counter knows how far the tar reader has read, without seeking being hidden from it.
type counter struct {
	*io.SectionReader
}

// indexTar reads the headers of the tar in r once; contents are skipped by seeking.
func indexTar(r io.ReaderAt, size int64) (*tarFiles, error) {
	t := &tarFiles{r: r, members: map[string]member{}, links: map[string]string{}, close: func() error { return nil }}
	section := counter{io.NewSectionReader(r, 0, size)}
	tr := tar.NewReader(section)
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("image archive: %w: %w", err, errdefs.ErrCorrupt)
		}
		if n == maxMembers {
			return nil, fmt.Errorf("image archive has more than %d members: %w", maxMembers, errdefs.ErrLimit)
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if at+hdr.Size > size {
			return nil, fmt.Errorf("image archive: %s is cut short: %w: %w", hdr.Name, io.ErrUnexpectedEOF, errdefs.ErrCorrupt)
		}
		if t.names += len(hdr.Name) + len(hdr.Linkname); t.names > maxMemberNames {
			return nil, fmt.Errorf("image archive has more than %d bytes of names: %w", maxMemberNames, errdefs.ErrLimit)
		}
		t.add(hdr, at)
	}
}

// endMarker is the length of the two zero blocks that end a tar.
const endMarker = 1024

// ended reports whether the tar has its end marker; archive/tar also takes one that was cut at a block.
func ended(r io.ReaderAt, size int64) bool {
	tail := make([]byte, endMarker)
	if size < endMarker {
		return false
	}
	if _, err := r.ReadAt(tail, size-endMarker); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return bytes.Equal(tail, make([]byte, endMarker))
}

func (t *tarFiles) add(hdr *tar.Header, at int64) {
	name := cleanMember(hdr.Name)
	switch hdr.Typeflag {
	case tar.TypeReg:
		t.members[name] = member{offset: at, size: hdr.Size}
	case tar.TypeSymlink:
		t.links[name] = cleanMember(path.Join(path.Dir(name), hdr.Linkname))
	case tar.TypeLink:
		t.links[name] = cleanMember(hdr.Linkname)
	}
}

func cleanMember(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// find follows links between members; the depth is capped against circles.
func (t *tarFiles) find(name string) (member, bool) {
	name = cleanMember(name)
	for range 8 {
		if m, ok := t.members[name]; ok {
			return m, true
		}
		next, ok := t.links[name]
		if !ok {
			break
		}
		name = next
	}
	return member{}, false
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	m, ok := t.find(name)
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(t.r, m.offset, m.size)), m.size, nil
}

func (t *tarFiles) Close() error { return t.close() }
