package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/stratastore/strata/errdefs"
	"github.com/stratastore/strata/internal/rootfd"
)

// item is one entry of a tar on its way in.
type item struct {
	hdr  *tar.Header
	name string // cleaned; "." is the root
	// size is the content's bytes in the tar. For a sparse file these are the
	// extents one after the other; hdr.Size is the file's size then.
	size   int64
	sparse []extent // nil: not a sparse file
}

// accept checks a header and makes it the current entry.
func (s *Stream) accept(hdr *tar.Header, raw []byte) error {
	if s.entries++; s.entries > s.limits.MaxEntries {
		return limitError("entries", s.limits.MaxEntries)
	}
	prevPad := padOf(s.cur.size)
	if hdr.Typeflag == tar.TypeXGlobalHeader && hdr.PAXRecords == nil {
		if err := nameGlobal(hdr, raw[prevPad:]); err != nil {
			return s.corrupt(err)
		}
	}
	name, err := rootfd.Clean(hdr.Name)
	if err != nil && hdr.Typeflag != tar.TypeXGlobalHeader {
		return fmt.Errorf("tar entry %d: %w", s.entries, err)
	}
	s.cur = item{hdr: hdr, name: name, size: contentSize(hdr)}
	if err := s.unique(); err != nil {
		return err
	}
	if depth := strings.Count(name, "/") + 1; depth > s.limits.MaxDepth {
		return fmt.Errorf("tar entry %d: %w", s.entries, limitError("components in a name", int64(s.limits.MaxDepth)))
	}
	if err := s.count(); err != nil {
		return err
	}
	if err := s.expand(raw, prevPad); err != nil {
		return err
	}
	s.load.begin(s, raw)
	return nil
}

// nameGlobal gives a global header the name in its own block. Where one of its records can not be
// read, archive/tar takes those that a random order puts before that one, "path" among them
// or not.
func nameGlobal(hdr *tar.Header, raw []byte) error {
	block, _, err := lastHeader(raw)
	if err != nil {
		return err
	}
	name, _, _ := bytes.Cut(block[:100], []byte{0})
	hdr.Name = string(name)
	return nil
}

// unique refuses a second entry of the same cleaned name, and more names than can be remembered.
func (s *Stream) unique() error {
	if _, ok := s.names[s.cur.name]; ok {
		return fmt.Errorf("%w layer tar: %q is in it twice", errdefs.ErrInvalid, s.cur.name)
	}
	s.names[s.cur.name] = struct{}{}
	if s.nameBytes += int64(len(s.cur.name)); s.nameBytes > nameRoom+nameBytes*s.entries {
		return limitError("bytes of names for its entries", nameRoom+nameBytes*s.entries)
	}
	return nil
}

// count collects the owner.
func (s *Stream) count() error {
	hdr := s.cur.hdr
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	// The last number means "leave it as it is" to the kernel and is nobody's.
	for _, id := range [2]int{hdr.Uid, hdr.Gid} {
		if id < 0 || int64(id) >= math.MaxUint32 {
			return fmt.Errorf("%w tar entry %q: owner %d", errdefs.ErrInvalid, s.cur.name, id)
		}
	}
	if !strings.HasPrefix(path.Base(s.cur.name), whiteoutPrefix) {
		s.uids.add(uint32(hdr.Uid))
		s.gids.add(uint32(hdr.Gid))
	}
	return nil
}

// expand finds the extents of a sparse file and holds its size against the cap.
func (s *Stream) expand(raw []byte, prevPad int) (err error) {
	if !isSparse(s.cur.hdr) {
		return nil
	}
	if err := s.cur.readSparse(raw[prevPad:]); err != nil {
		return s.corrupt(err)
	}
	if s.cur.hdr.Size > s.limits.MaxBytes-s.expanded {
		return limitError("bytes", s.limits.MaxBytes)
	}
	s.expanded += s.cur.hdr.Size
	return nil
}
