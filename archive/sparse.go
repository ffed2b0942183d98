package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// blockSize is tar's unit.
const blockSize = 512

// padOf is how many bytes follow size bytes up to the next block.
func padOf(size int64) int { return int(-size & (blockSize - 1)) }

// extent is a piece of a sparse file that is not a hole.
type extent struct{ offset, length int64 }

// The PAX records of sparse files (GNU tar manual, "Storing Sparse Files").
const (
	paxSparseMajor = "GNU.sparse.major"
	paxSparseMinor = "GNU.sparse.minor"
	paxSparseMap   = "GNU.sparse.map"
)

var errSparse = errors.New("sparse map does not fit the file")

// isSparse reports whether the parser took an entry for a sparse file.
func isSparse(hdr *tar.Header) bool {
	return hdr.Typeflag == tar.TypeGNUSparse || sparseVersion(hdr.PAXRecords) != ""
}

// sparseVersion is the PAX notation of a sparse file: "0", "1" or none. The
// first one did not say so itself.
func sparseVersion(records map[string]string) string {
	major, minor := records[paxSparseMajor], records[paxSparseMinor]
	switch {
	case major == "0" && (minor == "0" || minor == "1"):
		return "0"
	case major == "1" && minor == "0":
		return "1"
	case major == "" && minor == "" && records[paxSparseMap] != "":
		return "0"
	}
	return ""
}

// readSparse takes the extents and the content's size from what the parser read
// for this entry. The parser has the map too, and has checked it, but shows only
// the file with its holes filled, which may be exabytes.
func (it *item) readSparse(raw []byte) error {
	header, rest, err := lastHeader(raw)
	if err != nil {
		return err
	}
	if it.size, err = numeric(header[124:136]); err != nil {
		return err
	}
	if size := it.hdr.PAXRecords["size"]; size != "" {
		if it.size, err = strconv.ParseInt(size, 10, 64); err != nil {
			return err
		}
	}
	switch {
	case it.hdr.Typeflag == tar.TypeGNUSparse:
		it.sparse, err = oldSparseMap(header, rest)
	case sparseVersion(it.hdr.PAXRecords) == "1":
		it.size -= int64(len(rest)) // the map is the content's first blocks
		it.sparse, err = pairs(strings.Split(string(rest), "\n"), true)
	default:
		it.sparse, err = recordSparseMap(it.hdr.PAXRecords[paxSparseMap])
	}
	if err != nil {
		return err
	}
	return it.checkSparse()
}

// checkSparse makes sure of what writing the extents relies on: they are in
// order, inside the file, and together as long as the content.
func (it *item) checkSparse() error {
	var end, sum int64
	for _, e := range it.sparse {
		if e.length < 0 || e.offset < end || e.offset > it.hdr.Size || e.length > it.hdr.Size-e.offset {
			return errSparse
		}
		end = e.offset + e.length
		sum += e.length
	}
	if sum != it.size {
		return errSparse
	}
	return nil
}

// lastHeader finds an entry's own header block behind its extended headers, and
// what follows it.
func lastHeader(raw []byte) (header, rest []byte, err error) {
	for len(raw) >= blockSize {
		header, rest = raw[:blockSize], raw[blockSize:]
		switch header[156] {
		case tar.TypeXHeader, tar.TypeGNULongName, tar.TypeGNULongLink:
		default:
			return header, rest, nil
		}
		size, err := numeric(header[124:136])
		if err != nil || size < 0 || size > int64(len(rest)) {
			return nil, nil, tar.ErrHeader
		}
		raw = rest[min(int(size)+padOf(size), len(rest)):]
	}
	return nil, nil, io.ErrUnexpectedEOF
}

// numeric reads a header's number: octal digits, or binary, big endian, if the
// first bit is set.
func numeric(field []byte) (int64, error) {
	if field[0]&0x80 == 0 {
		text := strings.Trim(string(field), " \x00")
		if i := strings.IndexByte(text, 0); i >= 0 {
			text = text[:i]
		}
		if text == "" {
			return 0, nil
		}
		return strconv.ParseInt(text, 8, 64)
	}
	n := int64(field[0] & 0x3f)
	for _, b := range field[1:] {
		if n >= 1<<55 {
			return 0, tar.ErrHeader
		}
		n = n<<8 | int64(b)
	}
	if field[0]&0x40 != 0 {
		return 0, fmt.Errorf("negative size: %w", tar.ErrHeader)
	}
	return n, nil
}

// oldSparseMap reads the map of a type S header: four places in the header, then
// 21 in each block that follows as long as a flag says so (tar(5), "GNU tar
// Archives").
func oldSparseMap(header, rest []byte) ([]extent, error) {
	list := []extent{}
	table, more := header[386:482], header[482]
	for {
		for ; len(table) >= 24 && table[0] != 0; table = table[24:] {
			offset, err1 := numeric(table[:12])
			length, err2 := numeric(table[12:24])
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			list = append(list, extent{offset, length})
		}
		if more == 0 {
			return list, nil
		}
		if len(rest) < blockSize {
			return nil, io.ErrUnexpectedEOF
		}
		table, more, rest = rest[:504], rest[504], rest[blockSize:]
	}
}

// recordSparseMap reads the map of notation 0: numbers with commas.
func recordSparseMap(text string) ([]extent, error) {
	if text == "" {
		return []extent{}, nil
	}
	return pairs(strings.Split(text, ","), false)
}

// pairs turns numbers into extents. counted says that the first one tells how
// many pairs follow, and that what comes after them means nothing.
func pairs(text []string, counted bool) ([]extent, error) {
	if counted {
		count, err := strconv.Atoi(text[0])
		if err != nil || count < 0 || count > (len(text)-1)/2 {
			return nil, errSparse
		}
		text = text[1 : 1+2*count]
	}
	if len(text)%2 != 0 {
		return nil, errSparse
	}
	list := make([]extent, 0, len(text)/2)
	for i := 0; i < len(text); i += 2 {
		offset, err1 := strconv.ParseInt(text[i], 10, 64)
		length, err2 := strconv.ParseInt(text[i+1], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		list = append(list, extent{offset, length})
	}
	return list, nil
}
