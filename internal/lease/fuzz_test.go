package lease

import (
	"slices"
	"strings"
	"testing"
)

// TestParseLongLines: what a killed writer left in the middle hides no other lease.
func TestParseLongLines(t *testing.T) {
	text := "pid 7\n+a\n-" + strings.Repeat("x", 1<<20) + "\n+b\n+c"
	var owner Owner
	if ids := parse([]byte(text), &owner); !slices.Equal(ids, []string{"a", "b"}) || owner.PID != 7 {
		t.Errorf("leased are %q by %d", ids, owner.PID)
	}
}

// FuzzParse: every whole line that begins as a lease does is one, whatever else the file has.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"pid 4711\n+a\n-b\n+c", "", "+", "+\n", "pid x\n+\x00\n", "\r\n+a\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var owner Owner
		ids := parse(data, &owner)
		whole, _, _ := cutLast(string(data))
		want := 0
		for _, line := range strings.Split(whole, "\n") {
			if strings.HasPrefix(line, "+") {
				want++
			}
		}
		if len(ids) != want {
			t.Fatalf("%q has %d leases, found were %q", data, want, ids)
		}
		for _, id := range ids {
			if !strings.Contains(whole+"\n", "+"+id+"\n") {
				t.Fatalf("%q is no line of %q", id, data)
			}
		}
	})
}

// cutLast leaves out a last line that has no end.
func cutLast(text string) (whole, rest string, found bool) {
	i := strings.LastIndexByte(text, '\n')
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], true
}
