package recordfile

import "fmt"

// This file, string.go and number.go check JSON text (RFC 8259) without decoding
// it, and accept what encoding/json accepts. Each method takes the place where its
// part begins and returns the place behind it: positions that travel in registers
// save a third of the time.

// maxDepth bounds how deep values may nest. Records nest three levels.
const maxDepth = 512

// syntaxError is a place where the text is not JSON, or not the JSON of records.
type syntaxError struct {
	offset int
	reason string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: %s", e.offset, e.reason) }

// span is a part of a text: the bytes from start up to, not including, end.
type span struct{ start, end int }

// scanner is a text that is being checked.
type scanner struct{ data []byte }

// at returns the byte at i, 0 behind the end: no caller looks for a NUL.
func (s *scanner) at(i int) byte {
	if i < len(s.data) {
		return s.data[i]
	}
	return 0
}

// unexpected is the error for what stands at i.
func (s *scanner) unexpected(i int, wanted string) error {
	if i >= len(s.data) {
		return &syntaxError{len(s.data), "unexpected end of file, " + wanted + " is missing"}
	}
	return &syntaxError{i, fmt.Sprintf("unexpected character %q, %s is missing", s.data[i], wanted)}
}

// space returns the place of the first byte from i on that is not white space.
func (s *scanner) space(i int) int {
	if i < len(s.data) && s.data[i] > ' ' {
		return i
	}
	return s.spaces(i)
}

func (s *scanner) spaces(i int) int {
	for i < len(s.data) && (s.data[i] == ' ' || s.data[i] == '\t' || s.data[i] == '\n' || s.data[i] == '\r') {
		i++
	}
	return i
}

// value skips a value of any kind; depth counts the arrays and objects around it.
func (s *scanner) value(i, depth int) (int, error) {
	switch s.at(i) {
	case '"':
		return s.str(i)
	case '{':
		return s.object(i, depth)
	case '[':
		return s.array(i, depth)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		return s.number(i)
	}
}

func (s *scanner) literal(i int, word string) (int, error) {
	for k := range len(word) {
		if s.at(i) != word[k] {
			return i, s.unexpected(i, "the value "+word)
		}
		i++
	}
	return i, nil
}

// object skips the object that begins at i.
func (s *scanner) object(i, depth int) (int, error) {
	if depth >= maxDepth {
		return i, &syntaxError{i, "values are nested too deep"}
	}
	i, more := s.firstMember(i)
	for more {
		_, value, err := s.member(i, depth+1)
		if err != nil {
			return i, err
		}
		if i, more, err = s.nextMember(value.end); err != nil {
			return i, err
		}
	}
	return i, nil
}

// member skips a key and its value and returns where they stand, the quotes of
// strings included.
func (s *scanner) member(i, depth int) (key, value span, err error) {
	if s.at(i) != '"' {
		return key, value, s.unexpected(i, "a key")
	}
	key.start = i
	if key.end, err = s.str(i); err != nil {
		return key, value, err
	}
	if i = s.space(key.end); s.at(i) != ':' {
		return key, value, s.unexpected(i, "a colon")
	}
	value.start = s.space(i + 1)
	value.end, err = s.value(value.start, depth)
	return key, value, err
}

// firstMember returns the place of an object's first member, or more false and
// the place behind the object.
func (s *scanner) firstMember(i int) (next int, more bool) {
	if i = s.space(i + 1); s.at(i) == '}' {
		return i + 1, false
	}
	return i, true
}

// nextMember does what firstMember does, behind a member.
func (s *scanner) nextMember(i int) (next int, more bool, err error) {
	switch i = s.space(i); s.at(i) {
	case ',':
		return s.space(i + 1), true, nil
	case '}':
		return i + 1, false, nil
	default:
		return i, false, s.unexpected(i, "a comma or the end of the object")
	}
}

// array skips the array that begins at i.
func (s *scanner) array(i, depth int) (int, error) {
	if depth >= maxDepth {
		return i, &syntaxError{i, "values are nested too deep"}
	}
	i, more := s.firstElement(i)
	for more {
		var err error
		if i, err = s.value(i, depth+1); err != nil {
			return i, err
		}
		if i, more, err = s.nextElement(i); err != nil {
			return i, err
		}
	}
	return i, nil
}

// firstElement returns the place of an array's first element, or more false and
// the place behind the array.
func (s *scanner) firstElement(i int) (next int, more bool) {
	if i = s.space(i + 1); s.at(i) == ']' {
		return i + 1, false
	}
	return i, true
}

// nextElement does what firstElement does, behind an element.
func (s *scanner) nextElement(i int) (next int, more bool, err error) {
	switch i = s.space(i); s.at(i) {
	case ',':
		return s.space(i + 1), true, nil
	case ']':
		return i + 1, false, nil
	default:
		return i, false, s.unexpected(i, "a comma or the end of the list")
	}
}
