package archive

import (
	"bytes"
	"fmt"
	"testing"
)

// FuzzSplit: a tar that is accepted comes back byte for byte from its lines and
// its files, by the other engines' assembler, and both ways of reading agree.
func FuzzSplit(f *testing.F) {
	for _, data := range tarsOfOthers(f) {
		if len(data) < 64<<10 {
			f.Add(data)
		}
	}
	for _, data := range sparseTars(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = fixSums(data)
		opts := StreamOptions{Limits: Limits{MaxBytes: 1 << 20}}
		var lines, again bytes.Buffer
		opts.Split = &lines
		_, _, err := readAll(data, opts, false)
		opts.Split = &again
		_, got, err2 := readAll(data, opts, true)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("as entries: %v; as bytes: %v", err, err2)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(lines.Bytes(), again.Bytes()) || !bytes.Equal(got, data) {
			t.Error("entries and bytes give different results")
		}
		checkAssembles(t, data, lines.Bytes())
	})
}

// fixSums makes each block's header checksum right, so that a fuzzer's changes
// get past the parser.
func fixSums(data []byte) []byte {
	fixed := bytes.Clone(data)
	for block := fixed; len(block) >= blockSize; block = block[blockSize:] {
		if !bytes.HasPrefix(block[257:], []byte("ustar")) {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, c := range block[:blockSize] {
			sum += int(c)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return fixed
}
