package recordfile

import (
	"encoding/binary"
	"math/bits"
)

// str skips the string whose opening quote is at i.
func (s *scanner) str(i int) (int, error) {
	for i = s.plain(i + 1); ; i = s.plain(i) {
		switch s.at(i) {
		case '"':
			return i + 1, nil
		case '\\':
			var err error
			if i, err = s.escape(i + 1); err != nil {
				return i, err
			}
		default:
			return i, s.unexpected(i, "the end of a string")
		}
	}
}

// plain returns the place of the first byte from i on that is special in a
// string: quote, backslash or control character. It looks at eight bytes at a
// time, since most of a record file is strings. A borrow in the subtractions can
// only falsify bytes above the first hit, and only that one counts.
func (s *scanner) plain(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s.data); i += 8 {
		w := binary.LittleEndian.Uint64(s.data[i : i+8])
		quote, back := w^(ones*'"'), w^(ones*'\\')
		hit := ((quote - ones) &^ quote) | ((back - ones) &^ back) | ((w - ones*0x20) &^ w)
		if hit &= highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(s.data) && s.data[i] != '"' && s.data[i] != '\\' && s.data[i] >= 0x20 {
		i++
	}
	return i
}

// escape skips what follows a backslash.
func (s *scanner) escape(i int) (int, error) {
	switch s.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		return s.hex4(i + 1)
	default:
		return i, s.unexpected(i, "an escape sequence")
	}
}

func (s *scanner) hex4(i int) (int, error) {
	for range 4 {
		if !isHex(s.at(i)) {
			return i, s.unexpected(i, "a hexadecimal digit")
		}
		i++
	}
	return i, nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
