package recordfile

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
)

// unquote decodes a string that the scanner accepted, quotes included. Like
// encoding/json it replaces what is not UTF-8.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if isPlain(inner) {
		return string(inner)
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // the scanner accepted it
	return text
}

// isPlain reports whether b is ASCII without backslashes: its own meaning.
func isPlain(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(b) >= 8; b = b[8:] {
		w := binary.LittleEndian.Uint64(b)
		if back := w ^ (ones * '\\'); (w|(back-ones)&^back)&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// wanted finds the members that a reader is interested in by their keys. Like
// encoding/json it takes a key that differs in case for the same.
type wanted struct {
	// usual are the keys that occur, those of interest first.
	usual []string
	// heads are the usual keys as they stand before a value: quoted, with a colon.
	heads []string
	// blank has one zero part for each key of interest.
	blank []part
	// slots hold the places of the usual keys by their hashes.
	slots [64][]int
}

// newWanted looks for keys; usual are others that occur often, whose only use is
// that they are recognised fast.
func newWanted(keys, usual []string) *wanted {
	w := &wanted{blank: make([]part, len(keys))}
	for _, k := range slices.Concat(keys, usual) {
		if k != "" && !slices.Contains(w.usual, k) {
			slot := &w.slots[slotOf(k)]
			*slot = append(*slot, len(w.usual))
			w.usual = append(w.usual, k)
			w.heads = append(w.heads, `"`+k+`":`)
		}
	}
	return w
}

// slotOf hashes a key that is not empty: length, first and last byte tell the keys
// of a record apart well enough.
func slotOf[T string | []byte](key T) int {
	return (len(key)*5 + int(key[0])*7 + int(key[len(key)-1])) & 63
}

// find returns which usual key this is (with its quotes), or -1.
func (w *wanted) find(quoted []byte) int {
	key := quoted[1 : len(quoted)-1]
	if len(key) == 0 {
		return -1
	}
	for _, i := range w.slots[slotOf(key)] {
		if string(key) == w.usual[i] {
			return i
		}
	}
	folded := unquote(quoted)
	return slices.IndexFunc(w.usual, func(k string) bool { return strings.EqualFold(k, folded) })
}

// place returns where the values of a usual key go, or -1.
func (w *wanted) place(key int) int {
	if key < len(w.blank) {
		return key
	}
	return -1
}
